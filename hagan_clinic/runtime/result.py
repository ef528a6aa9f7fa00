"""What a translation gives, and how a notebook shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from hagan_clinic.runtime.preview import draw_preview
from hagan_clinic.runtime.provenance import NOTICE, credit
from hagan_clinic.volume import Volume

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, eq=False, repr=False)
class Translation:
    """A synthesised volume. A notebook shows it as the picture that `--preview` writes.

    Attributes:
        volume: float32 in [0, 1], the training targets' percentile scale, on the source's grid.
        uncertainty: Half-width of the 90 % interval in the same units, on the same grid. Outside
            the network's box it is 1, the whole range, where there is tissue, and 0, as the volume
            is, in the air around it.
        report: What `--report` writes.
        sources: The scans that it was made of, by their sequences, in scanner units.
        target: The sequence that it is like.
    """

    volume: Volume
    uncertainty: Volume
    report: Mapping[str, Any]
    sources: Mapping[str, Volume]
    target: str

    def __repr__(self) -> str:
        return (
            f"{NOTICE}: {self.target} from {' and '.join(self.sources)} by "
            f"{self.report['model']['name']}, {self.volume.grid}, "
            f"warnings: {len(self.report['warnings'])}"
        )

    def picture(self) -> Image.Image:
        """Source, synthetic volume and uncertainty in three planes, marked as synthetic."""
        return draw_preview(
            list(self.sources.items()),
            (self.target, self.volume),
            self.uncertainty,
            credit(self.report["model"]),
        )

    def _repr_png_(self) -> bytes:
        """What Jupyter and its kin show."""
        with BytesIO() as content:
            self.picture().save(content, format="PNG")
            return content.getvalue()
