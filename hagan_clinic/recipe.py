"""The recipe: everything a deployment needs to repeat the preparation that training used."""

import json
from dataclasses import asdict, dataclass, fields

from hagan_clinic.errors import ModelError
from hagan_clinic.intensity import HEAD_MM, PERCENTILES, RADIUS_MM
from hagan_clinic.volume import Spacing

SCHEMA = 1


@dataclass(frozen=True)
class Recipe:
    """How scanner volumes become network input, and what the network's output means.

    Attributes:
        sources: Names of the input sequences, in channel order.
        target: Name of the synthesised sequence.
        spacing: Voxel size in mm of the network's (D, H, W) axes.
        multiple: Each size of the network's input is a multiple of this.
        halo: Slices needed on each side of a slab for its result to equal the whole volume's.
        interval_factor: Half-width of the 90 % interval, in units of the predicted scale.
        percentiles: Percentiles of the source's intensity window.
        radius_mm: Radius around the centre of mass that the window looks at.
        head_mm: Length of the head, from its top, whose centre of mass is taken.
        margin_mm: Background kept around the head.
        schema: Version of this list.

    Raises:
        ModelError: If a value is out of range.
    """

    sources: tuple[str, ...]
    target: str
    spacing: Spacing
    multiple: int
    halo: int
    interval_factor: float
    percentiles: tuple[float, float] = PERCENTILES
    radius_mm: float = RADIUS_MM
    head_mm: float = HEAD_MM
    margin_mm: float = 12.0
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ModelError(
                f"the model's recipe has schema {self.schema}, this version reads {SCHEMA}; "
                "update hagan-clinic or export the model again"
            )
        low, high = self.percentiles
        sound = (
            len(self.sources) > 0
            and len(self.spacing) == 3
            and min(self.spacing) > 0
            and self.multiple > 0
            and self.halo >= 0
            and self.interval_factor >= 0
            and 0 <= low < high <= 100
            and self.radius_mm > 0
            and self.head_mm > 0
            and self.margin_mm >= 0
        )
        if not sound:
            raise ModelError(f"the model's recipe has a value out of range: {self}")

    def to_json(self) -> str:
        """One line of JSON, as stored in a model file."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """The inverse of `to_json`.

        Raises:
            ModelError: If the text is no recipe of this schema.
        """
        try:
            stored = json.loads(text)
        except ValueError as error:
            raise ModelError(f"the model's recipe is not JSON ({error}); export it again") from None
        known = {field.name for field in fields(cls)}
        if not isinstance(stored, dict):
            raise ModelError("the model's recipe is not a JSON object; export the model again")
        if stored.get("schema", SCHEMA) == SCHEMA and stored.keys() != known:
            missing = ", ".join(sorted(known - stored.keys())) or "none"
            unknown = ", ".join(sorted(stored.keys() - known)) or "none"
            raise ModelError(
                f"the model's recipe does not fit schema {SCHEMA}: fields missing: {missing}; "
                f"unknown: {unknown}; export the model again"
            )
        try:
            return cls._from_fields(stored)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"the model's recipe has a field of the wrong kind ({error}); export it again"
            ) from None

    @classmethod
    def _from_fields(cls, stored: dict[str, object]) -> "Recipe":
        if stored.get("schema") != SCHEMA:
            raise ModelError(
                f"the model's recipe has schema {stored.get('schema')}, this version reads "
                f"{SCHEMA}; update hagan-clinic or export the model again"
            )
        lists = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in stored.items()
        }
        return cls(**lists)  # type: ignore[arg-type]
