"""Fields of DICOM and of BIDS that say whether contrast agent was given (PS3.3, C.7.6.4)."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hagan_clinic.imageio.contrast import agent_given, contrast_sign, read_name
from hagan_clinic.imageio.sidecar import Sidecar, stem_of

AGENT_FIELDS = (
    "ContrastBolusAgent",
    "ContrastBolusIngredient",
    "ContrastBolusVolume",
    "ContrastBolusTotalDose",
    "ContrastBolusIngredientConcentration",
)
"""Each shows an agent by itself, unless its value means none."""

CIRCUMSTANCES = (
    "ContrastBolusRoute",
    "ContrastBolusStartTime",
    "ContrastBolusStopTime",
    "ContrastFlowRate",
    "ContrastFlowDuration",
)
"""These too, but not against an agent field that says there was none."""

NAMES = ("SeriesDescription", "ProtocolName")
"""The first that says anything of contrast agent is believed: a protocol is often the study's."""


def contrast_field(fields: Mapping[str, Any]) -> str | None:
    """The name of a field that says that agent was given, if one does."""
    for name in AGENT_FIELDS:
        if any(map(agent_given, _texts(fields.get(name)))):
            return name
    if any(text.strip() for text in _texts(fields.get(AGENT_FIELDS[0]))):
        return None
    for name in CIRCUMSTANCES:
        if any(map(agent_given, _texts(fields.get(name)))):
            return name
    return None


def contrast_name(fields: Mapping[str, Any]) -> tuple[str, str] | None:
    """The words by which a series' names show agent, and the field that has them."""
    for name in NAMES:
        for text in _texts(fields.get(name)):
            read = read_name(text)
            if read.given:
                return read.given, name
            if read.native:
                return None
    return None


def contrast_of_file(path: Path, sidecar: Sidecar) -> str | None:
    """By what the name of a file, or its sidecar, shows that agent was given, if one does."""
    if token := contrast_sign(stem_of(path)):
        return f"{token!r} in its name"
    if field := contrast_field(sidecar.values):
        return f"{field} in its sidecar"
    if named := contrast_name(sidecar.values):
        return f"{named[0]!r} in {named[1]} of its sidecar"
    return None


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
    elif value is not None:
        yield str(value)
