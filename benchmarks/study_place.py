"""A study on disk, and what is known of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from study_models import STUDIES

FIRST = "hagan"
"""The model that all others are compared with."""


@dataclass(frozen=True)
class Place:
    """A study on disk: ``fold1`` and so on, each with runs, their plans and an evaluation."""

    folder: Path

    @property
    def folds(self) -> int:
        """How many."""
        return len(list(self.folder.glob("fold[0-9]*")))

    @property
    def evaluated(self) -> list[int]:
        """The folds that are done."""
        done = f"evaluation/{self.folder.name}"
        every = range(1, self.folds + 1)
        return [one for one in every if (self.folder / f"fold{one}" / done).is_dir()]

    @property
    def crossed(self) -> bool:
        """Whether each fold is to be done."""
        return STUDIES[self.folder.name].crossed

    @property
    def budgets(self) -> list[float]:
        """Minutes of the further trainings in the first fold."""
        done = self.folder.glob(f"fold1/evaluation-*min/{self.folder.name}")
        names = (path.parent.name for path in done)
        return sorted(float(name.removeprefix("evaluation-")[:-3]) for name in names)

    def plan(self, model: str) -> dict[str, Any]:
        """What a run of the first fold was to do."""
        return json.loads((self.folder / "fold1" / f"{model}.json").read_text("utf-8"))

    def models(self) -> list[str]:
        """Names of the models that were trained in the first fold."""
        entries = STUDIES[self.folder.name].entries
        return [one.name for one in entries if (self.folder / "fold1" / one.name).is_dir()]

    def config(self) -> dict[str, Any]:
        """Settings of HA-GAN."""
        return json.loads((self.folder / "fold1" / FIRST / "config.json").read_text("utf-8"))

    def evaluation(self, kind: str, minutes: float | None = None) -> Path:
        """Of the first fold, of the study's minutes or of others."""
        return evaluation_of(self.folder / "fold1", minutes) / kind

    @property
    def box(self) -> str:
        """The training box in words."""
        config = self.config()
        return f"{' × '.join(map(str, config['size']))} voxels of {config['spacing']:g} mm"

    @property
    def time(self) -> str:
        """The training time in words."""
        plan = self.plan(FIRST)
        cores, minutes = plan["cores"], plan["minutes"]
        where = "one core" if cores == 1 else f"{cores} cores"
        where = "" if torch.cuda.is_available() else f" of {where}"
        return f"{minutes:g} minute{'s' * (minutes != 1)}{where}"


def evaluation_of(place: Path, minutes: float | None) -> Path:
    """Folder of the evaluation of a fold, of the study's own minutes or of others."""
    return place / ("evaluation" if minutes is None else f"evaluation-{minutes:g}min")
