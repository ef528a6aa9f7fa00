"""What predicts a target: models, volumes that some tool has made, and reference baselines."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError, ModelError, some
from hagan_clinic.evaluation.cases import Case, Image
from hagan_clinic.evaluation.evaluated_patients import is_run
from hagan_clinic.evaluation.named_files import files_of
from hagan_clinic.evaluation.reference_baselines import FittedCurve, oracle_linear_fit
from hagan_clinic.imageio import SUFFIXES, is_volume_name, read
from hagan_clinic.runtime import Translator
from hagan_clinic.volume import to_canonical

UNCERTAINTY = "_uncertainty"
ORACLE = "oracle: {}, then a linear fit"


@dataclass(frozen=True, eq=False)
class Prediction:
    """A target on [0, 1], and the half-width of its 90 % interval if it states one."""

    image: Image
    half_width: Image | None = None


class Predictor(Protocol):
    """Predicts the target of a case.

    Attributes:
        name: Of its row.
        sources: The sequences it needs.
        target: What it predicts; empty where that is not known.
        interval: Whether it states how sure it is.
        facts: Of it, for the report.
    """

    name: str
    sources: tuple[str, ...]
    target: str
    interval: bool
    facts: dict[str, Any]

    def __call__(self, case: Case) -> Prediction:
        """Predict, without a look at the reference."""


class Model:
    """A model file or run, by the deployed path.

    Args:
        name: Of its row.
        model: Name of a bundled model, or a `.onnx` file.
        device: Where it runs.
        threads: As of `Translator`.
        max_memory: The same.
    """

    def __init__(
        self,
        name: str,
        model: str | Path,
        device: str,
        threads: int | None = None,
        max_memory: int | None = None,
    ) -> None:
        self.name = name
        self._translator = Translator(model, device, threads=threads, max_memory=max_memory)
        self.device = self._translator.device
        file = self._translator.model
        self.interval = True
        self.sources, self.target = file.recipe.sources, file.recipe.target
        self.facts = {"sha256": file.sha256, "device": self.device.name}

    def __call__(self, case: Case) -> Prediction:
        """What the deployed path makes of the scans."""
        translation = self._translator.translate({n: case.sources[n] for n in self.sources})
        return Prediction(translation.volume.array, translation.uncertainty.array)


class Volumes:
    """Volumes on [0, 1] that some tool has made, one a subject, on the grid of its scans.

    Args:
        folder: Of files whose names begin with the subject's; those that end in `_uncertainty`
            are half-widths of 90 % intervals.
    """

    sources: tuple[str, ...] = ()
    target = ""

    def __init__(self, folder: Path) -> None:
        self.name = folder.resolve().name
        self.facts = {"volumes": str(folder)}
        self.interval = any(UNCERTAINTY in path.name for path in folder.iterdir())
        self._folder = folder

    def __call__(self, case: Case) -> Prediction:
        """The volume of the case's subject."""
        name = case.subject.name
        found = files_of(self._folder, name)
        images = [path for path in found if UNCERTAINTY not in path.name]
        if len(images) != 1:
            raise InputError(
                f"{name} has {len(images)} volumes in {self._folder}, expected one, with a name "
                f"that begins with {name}"
            )
        widths = [path for path in found if UNCERTAINTY in path.name]
        half_width = self._read(widths[0], case) if len(widths) == 1 else None
        return Prediction(self._read(images[0], case), half_width)

    def _read(self, path: Path, case: Case) -> Image:
        volume = to_canonical(read(path))
        expected = next(iter(case.sources.values())).grid
        if not volume.grid.same_as(expected):
            raise InputError(
                f"{path} ({volume.grid}) lies on another grid than the scan of "
                f"{case.subject.name} ({expected}); bring it back to that grid"
            )
        if volume.array.min() < -0.5 or volume.array.max() > 1.5:
            raise InputError(
                f"{path} has values from {volume.array.min():g} to {volume.array.max():g}, "
                "expected a prediction on [0, 1], 0 and 1 being the target's 0.5 and 99.5 "
                "percentiles in the brain"
            )
        image: NDArray[np.float32] = volume.array
        return image


class Models:
    """The predictors that a command is given, for as long as it runs.

    Args:
        given: For each the name of a bundled model, a `.onnx` file, the folder of a conditional
            run, which is exported first, or a folder of volumes.
        device: Where models run.
        threads: As of `Translator`.
        max_memory: The same.

    Raises:
        InputError: Two have one name.
        ModelError: One is missing or unusable.
        DeviceError: The device cannot be had.
    """

    def __init__(
        self,
        given: Sequence[str],
        device: str,
        threads: int | None = None,
        max_memory: int | None = None,
    ) -> None:
        self._given = given
        self._how = (device, threads, max_memory)
        self._scratch = TemporaryDirectory(prefix="hagan-clinic-")

    def __enter__(self) -> list[Predictor]:
        try:
            predictors = [self._loaded(one) for one in self._given]
            names = [predictor.name for predictor in predictors]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise InputError(
                    f"several models have the name {some(twice)}; rename a file or folder"
                )
        except BaseException:
            self._scratch.cleanup()
            raise
        return predictors

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    def _loaded(self, given: str) -> Predictor:
        path = Path(given)
        if is_run(path):
            from hagan_clinic.onnx_export import export_run

            name = path.resolve().name
            exported = Path(self._scratch.name) / f"{len(list(Path(self._scratch.name).iterdir()))}"
            return Model(name, export_run(path, exported.with_suffix(".onnx")).path, *self._how)
        if path.is_dir():
            if not any(map(is_volume_name, path.iterdir())):
                raise ModelError(
                    f"{path}: neither a run folder nor a folder of volumes ({', '.join(SUFFIXES)})"
                )
            return Volumes(path)
        return Model(path.stem if path.suffix == ".onnx" else given, given, *self._how)


def reference_baselines(case: Case, curve: FittedCurve, source: str) -> dict[str, Prediction]:
    """The rows that need no network, for a source of this name."""
    occupied = case.occupied
    fitted = np.zeros_like(case.source)
    fitted[occupied] = curve(case.source[occupied])
    title = source.upper()
    return {
        "constant (training mean)": Prediction(np.float32(curve.constant) * occupied),
        f"{title} copied": Prediction(case.source),
        f"{title} through a fitted curve": Prediction(fitted),
        ORACLE.format("fitted curve"): oracle(Prediction(fitted), case),
    }


def oracle(prediction: Prediction, case: Case) -> Prediction:
    """The prediction after its best line to the reference, which no honest row may see."""
    return Prediction(oracle_linear_fit(prediction.image, case.reference, case.brain))
