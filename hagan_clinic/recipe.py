"""The recipe: everything a deployment needs to repeat the preparation that training used."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, get_args, get_origin, get_type_hints

from hagan_clinic.errors import ModelError
from hagan_clinic.intensity import HEAD_MM, PERCENTILES, RADIUS_MM
from hagan_clinic.volume import Spacing

SCHEMA = 1

MOST_VOXELS = 2**29
"""Of a box: several times the largest head."""

# What a scanner, a head and a network can have, with room to spare.
_MM = (0.05, 50.0)
_LENGTH_MM = (1.0, 10_000.0)
_MOST_MARGIN_MM = 1000.0
_MOST_STEPS = 1024
_MOST_FACTOR = 1000.0
_MOST_WINDOW = 1e7
_MOST_SOURCES = 16
_LONGEST_NAME = 64

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
        for name, fits in self._fits().items():
            if not fits:
                value = repr(getattr(self, name))
                shown = value if len(value) <= _LONGEST_NAME else f"{value[:_LONGEST_NAME]}…"
                raise ModelError(
                    f"the model's recipe has a value out of range: {name} is {shown}; export the "
                    "model again"
                )

    def _fits(self) -> dict[str, bool]:
        """Whether each field has a value that can be meant; NaN fits nowhere."""
        low, high = self.percentiles
        steps = range(1, _MOST_STEPS + 1)
        window = self.window
        return {
            "sources": 0 < len(self.sources) <= _MOST_SOURCES and all(map(_is_name, self.sources)),
            "target": not self.target or _is_name(self.target),
            "spacing": all(_MM[0] <= step <= _MM[1] for step in self.spacing),
            "multiple": self.multiple in steps,
            "halo": self.halo == 0 or self.halo in steps,
            "interval_factor": 0 <= self.interval_factor <= _MOST_FACTOR,
            "percentiles": 0 <= low < high <= 100,
            "radius_mm": _LENGTH_MM[0] <= self.radius_mm <= _LENGTH_MM[1],
            "head_mm": _LENGTH_MM[0] <= self.head_mm <= _LENGTH_MM[1],
            "margin_mm": 0 <= self.margin_mm <= _MOST_MARGIN_MM,
            "box": len(self.box) in (0, 3)
            and math.prod(self.box) <= MOST_VOXELS
            and self.multiple in steps
            and all(side > 0 and side % self.multiple == 0 for side in self.box),
            "window": not window
            or (len(window) == 2 and -_MOST_WINDOW <= window[0] < window[1] <= _MOST_WINDOW),
            "box_grows": bool(self.box) or not self.box_grows,
        }

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
        except (ValueError, RecursionError) as error:
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


def _is_name(text: str) -> bool:
    """Whether a text can name a sequence, and be a part of a file's name."""
    return (
        0 < len(text) <= _LONGEST_NAME
        and text.isprintable()
        and not text.startswith(".")
        and not set(text) & set("/\\:")
    )


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
