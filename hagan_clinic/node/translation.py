"""The translation of a received series by the model that the site has chosen."""

from collections.abc import Sequence
from pathlib import Path

from hagan_clinic.errors import InputError, ModelError, UnsuitableError
from hagan_clinic.imageio.dicom.choice import choose
from hagan_clinic.imageio.dicom.completeness import cut_end, missing_by_number, missing_by_vendor
from hagan_clinic.imageio.dicom.discovery import Found, find_series
from hagan_clinic.imageio.dicom.options import read_options
from hagan_clinic.imageio.dicom.series import Series, Stack
from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.worker import Translated
from hagan_clinic.runtime import Translator


class SeriesTranslator:
    """A model on a device, checked before the first series comes.

    Raises:
        ModelError: The model is missing, is not the one that was pinned, or takes several scans.
        DeviceError: The device cannot be had.
        InputError: The options of derived series cannot be read.
    """

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._translator = Translator(
            config.model,
            config.device,
            max_memory=config.max_memory or None,
            threads=config.threads or None,
        )
        model = self._translator.model
        pinned = config.model_sha256.lower()
        if pinned and pinned != model.sha256:
            raise ModelError(
                f"{model.path} has the sha256 {model.sha256}, and model_sha256 is {pinned}: "
                "give the model that was accepted here, or accept this one and change the setting"
            )
        if len(model.recipe.sources) != 1:
            raise ModelError(
                f"{model.path} takes {' + '.join(model.recipe.sources)}; "
                "the node translates single series: give a model of one source"
            )
        self._options = read_options()

    @property
    def model_sha256(self) -> str:
        """Of the model's file."""
        return self._translator.model.sha256

    def missing(self, folders: Sequence[Path]) -> str:
        """Why the series in these folders is plainly not whole; see `Missing`.

        One that is for another model is not checked; of one that is refused, such as for a gap, the
        numbers count alone.
        """
        (source,) = self._translator.model.recipe.sources
        found = [one for folder in folders for one in find_series(folder).series]
        if len({one.uid for one in found}) != 1:
            return ""
        # An instance that came again takes the place of the first.
        instances = {i.name: i for one in found for i in one.instances}
        series = Series(found[0].uid, tuple(instances.values()))
        stack: Stack | None = None
        try:
            allowed = self._config.allow_contrast
            stack = choose(Found((series,)), source, allow_contrast=allowed)
        except UnsuitableError:
            return ""
        except InputError:
            pass
        reason = ""
        if self._config.trust_counts:
            reason = missing_by_number(series) or missing_by_vendor(series)
        return reason or (cut_end(stack) if stack else "")

    def __call__(self, source: Path, output: Path, supersedes: Sequence[str]) -> Translated:
        """Translate the series in one folder into another; see `Translate`."""
        done = self._translator.translate(
            source,
            output,
            series_options=self._options,
            supersedes=supersedes,
            allow_contrast=self._config.allow_contrast,
        )
        return Translated(
            self._translator.model.card.name,
            self.model_sha256,
            done.report["device"]["ran"],
            tuple(done.report["warnings"]),
        )
