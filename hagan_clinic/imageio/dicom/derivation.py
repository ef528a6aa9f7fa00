"""What a synthetic series is and what made it: the facts that its header states."""

from dataclasses import dataclass
from typing import Literal, get_args

NOTICE = "SYNTHETIC, NOT FOR DIAGNOSIS"

FULL_SCALE = 4095
"""Stored value of 1: twelve bits, as scanners write them."""

# Characters that the value representations LO and ST hold (PS3.5 6.2).
LONG_STRING = 64
SHORT_TEXT = 1024

Content = Literal["image", "uncertainty"]
"""The synthesised image itself, or the map of its uncertainty."""


@dataclass(frozen=True)
class Derivation:
    """What was derived, from which model and how.

    With the source's UIDs it determines the UIDs of what is written, so whatever changes the
    pixels on purpose must show in one of its fields.

    Attributes:
        target: The sequence synthesised, such as `flair`.
        content: The synthesised image itself, or the map of its uncertainty.
        software: Name of this tool.
        version: Its version.
        model: Name of the model.
        model_sha256: Of the model's file, in hexadecimal.
        settings: What else the result depends on, in words a reader of the header understands.
        scale: What the values 0 and 1 mean.
        licence: That of the model's weights.
        supersedes: Series Instance UIDs of earlier results of the same source, in their order,
            which this one takes the place of.

    Raises:
        ValueError: `content` is neither of the two.
    """

    target: str
    content: Content
    software: str
    version: str
    model: str
    model_sha256: str
    settings: str
    scale: str
    licence: str
    supersedes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.content not in get_args(Content):
            raise ValueError(f"content {self.content!r}, expected 'image' or 'uncertainty'")

    @property
    def version_number(self) -> int:
        """From 1: how many results of the same source there are with this one."""
        return len(self.supersedes) + 1

    def series_description(self, wanted: str = "") -> str:
        """SeriesDescription: SYNTHETIC first, then what was `wanted` or else what it is."""
        prefix = "SYNTHETIC" if self.content == "image" else "SYNTHETIC UNCERTAINTY"
        version = f", VERSION {self.version_number}" if self.supersedes else ""
        if wanted:
            room = LONG_STRING - len(version)
            return f"{prefix} {wanted}"[:room].rstrip() + version
        # The notice stands in other elements too; here the name of the sequence may not lack.
        ending = f"{version}, NOT FOR DIAGNOSIS"
        room = LONG_STRING - len(prefix) - len(ending) - 1
        return f"{prefix} {plain(self.target.upper(), room)}{ending}"

    def text(self) -> str:
        """DerivationDescription: all of it, the meaning of stored values first.

        At most 1024 characters; what is too long loses its end, the licence of the weights and
        the settings first.
        """
        what = f"{self.target.upper()} synthesised from an acquired MR series"
        if self.content == "uncertainty":
            what = f"Uncertainty of the {what}"
        if self.supersedes:
            what = (
                f"Version {self.version_number}, supersedes series {self.supersedes[-1]}, made "
                f"before the source was complete or corrected. {what}"
            )
        return _cut(
            f"{NOTICE}. {what} by {self.software} {self.version}, model {self.model} "
            f"(sha256 {self.model_sha256}). "
            f"Stored value / {FULL_SCALE} = value from 0 to 1: {self.scale}. "
            f"Settings: {self.settings or 'none'}. Licence of the weights: {self.licence}.",
            SHORT_TEXT,
        )


def plain(text: str, limit: int = LONG_STRING) -> str:
    """`text` as one value of LO: no backslash or control character, at most `limit` long."""
    return _cut("".join("/" if c == "\\" else c if c.isprintable() else " " for c in text), limit)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
