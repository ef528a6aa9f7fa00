"""The recipe: everything a deployment needs to repeat the preparation that training used."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, get_args, get_origin, get_type_hints

from hagan_clinic.errors import ModelError
from hagan_clinic.intensity import HEAD_MM, PERCENTILES, RADIUS_MM
from hagan_clinic.volume import Spacing

SCHEMA = 1

ADDED = frozenset(["window", "box_grows"])
"""Fields that files of this schema may lack, as they were written before there was one."""


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
        box: (D, H, W) of the network's input, centred on the brain, as in training; empty for
            the whole head with its margin.
        box_grows: The network takes boxes of any size: the box holds the head with its margin,
            from where `box` would begin upwards, and may be smaller or larger than it.
        window: Scanner values that become -1 and 1, for images in absolute units as of CT, which
            is then centred whole, not on a brain; empty for percentiles.
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
    box: tuple[int, ...] = ()
    box_grows: bool = False
    window: tuple[float, ...] = ()
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        low, high = self.percentiles
        in_range = (
            len(self.sources) > 0
            and min(self.spacing) > 0
            and self.multiple > 0
            and self.halo >= 0
            and self.interval_factor >= 0
            and 0 <= low < high <= 100
            and self.radius_mm > 0
            and self.head_mm > 0
            and self.margin_mm >= 0
            and len(self.box) in (0, 3)
            and (bool(self.box) or not self.box_grows)
            and all(side > 0 and side % self.multiple == 0 for side in self.box)
            and (not self.window or (len(self.window) == 2 and self.window[0] < self.window[1]))
        )
        scales = (self.interval_factor, self.radius_mm, self.head_mm)
        numbers = (*self.spacing, *self.window, *scales)
        if not (in_range and all(map(math.isfinite, (*numbers, self.margin_mm)))):
            raise ModelError(f"the model's recipe has a value out of range: {self.to_json()}")

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
        if not isinstance(stored, dict):
            raise ModelError("the model's recipe is not a JSON object; export the model again")
        if stored.get("schema") != SCHEMA:
            raise ModelError(
                f"the model's recipe has schema {stored.get('schema')}, this version reads "
                f"{SCHEMA}; update hagan-clinic or export the model again"
            )
        kinds = get_type_hints(cls)
        if not kinds.keys() - ADDED <= stored.keys() <= kinds.keys():
            missing = ", ".join(sorted(kinds.keys() - ADDED - stored.keys())) or "none"
            unknown = ", ".join(sorted(stored.keys() - kinds.keys())) or "none"
            raise ModelError(
                f"the model's recipe does not fit schema {SCHEMA}: fields missing: {missing}; "
                f"unknown: {unknown}; export the model again"
            )
        return cls(**{name: _as_kind(value, kinds[name], name) for name, value in stored.items()})


def _as_kind(value: Any, kind: Any, name: str) -> Any:
    """A JSON value as the type that a field has."""
    if get_origin(kind) is tuple and isinstance(value, list):
        item, *others = get_args(kind)
        if Ellipsis in others or len(value) == 1 + len(others):
            return tuple(_as_kind(part, item, name) for part in value)
    if type(value) is kind:
        return value
    if kind is float and type(value) is int:
        return float(value)
    raise ModelError(
        f"the model's recipe has in {name} a value of the wrong kind ({value!r}); "
        "export the model again"
    )
