"""A run folder of weights that were trained elsewhere: used, exported, fine-tuned as any other."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel

from hagan_clinic import __version__
from hagan_clinic.data.transforms import LUNG_WINDOW_HU
from hagan_clinic.errors import OutputError
from hagan_clinic.imageio import write_text
from hagan_clinic.training.checkpoint import save_checkpoint
from hagan_clinic.training.run_folder import BEST, CONFIG, FACTS, LAST, PART
from hagan_clinic.unconditional.released import Released

CT = "ct"
"""The image whose grey values are scaled by the authors' window, not by percentiles."""


def write_released_run(released: Released, folder: Path, *, image: str, spacing: float) -> None:
    """Make a run folder of the authors' weights.

    It stands whole or not at all. There is no average but the weights themselves, and no split:
    who trained the model does not tell the patients.

    Args:
        released: the weights.
        folder: where; it may be there, but empty.
        image: the sequence that the volumes show.
        spacing: side of their voxels in mm.

    Raises:
        InputError: the spacing is no positive number.
        OutputError: the folder holds something, or cannot be written.
    """
    window = LUNG_WINDOW_HU if image == CT else ()
    settings = replace(released.model.settings, image=image, window=window, spacing=spacing)
    facts: dict[str, Any] = {
        "hagan_clinic": __version__,
        "torch": torch.__version__,
        "subjects": {},
        "box": settings.size,
        "init": None,
        "imported": released.files,
    }
    state = {"step": 0, "validated": 0, "best_step": 0, "metrics": {}, "seconds": 0.0}
    beside = folder.with_name(folder.name + PART)
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        average = AveragedModel(released.model.averaged)
        for name in (BEST, LAST):
            save_checkpoint(beside / name, released.model, average, {}, state)
        write_text(settings.to_json(), beside / CONFIG)
        write_text(json.dumps(facts, indent=2), beside / FACTS)
        if folder.exists():
            folder.rmdir()  # refuses what is not empty
        beside.rename(folder)
    except OSError as error:
        raise OutputError(
            f"cannot make the run folder {folder}: {error.strerror}; give a new one"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
