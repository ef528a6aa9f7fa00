"""The translation of a received series by the model that the site has chosen."""

from pathlib import Path

from hagan_clinic.errors import ModelError
from hagan_clinic.imageio.dicom.options import read_options
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

    def __call__(self, source: Path, output: Path) -> Translated:
        """Translate the series in one folder into another; see `Translate`."""
        done = self._translator.translate(
            source,
            output,
            series_options=self._options,
            allow_contrast=self._config.allow_contrast,
        )
        return Translated(
            self._translator.model.card.name,
            self.model_sha256,
            done.report["device"]["ran"],
            tuple(done.report["warnings"]),
        )
