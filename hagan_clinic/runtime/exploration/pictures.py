"""A series of synthetic volumes as pictures: a montage of all steps, and an animation."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.runtime.provenance import NOTICE

if TYPE_CHECKING:
    from PIL import Image, ImageFont

_Value = TypeVar("_Value", bound=np.generic)

PIXELS = 160
"""About the height of a plane: volumes are enlarged to it, never made smaller."""

COLUMNS = 8
"""Steps beside each other in a montage."""

_BACKGROUND, _TEXT = (10, 11, 14), (222, 226, 232)
_FAINT, _WARNING = (128, 135, 146), (255, 176, 84)
_OPACITY = 0.4
_MARGIN, _GAP, _LINE = 16, 8, 16
_LARGE, _SMALL = 14, 12
_FRAME_MS, _END_MS = 220, 700


@dataclass(frozen=True, eq=False)
class Step:
    """What is drawn of one volume.

    Attributes:
        planes: Its middle axial, coronal and sagittal plane, from `middle_planes`.
        captions: Lines under the picture.
        labels: Label maps of the planes, from `middle_labels`, laid over them; empty for none.
        legend: Lines under the captions, each in the colour of its label.
    """

    planes: tuple[NDArray[np.uint8], ...]
    captions: tuple[str, ...]
    labels: tuple[NDArray[np.int64], ...] = ()
    legend: tuple[tuple[int, str], ...] = ()


def middle_planes(volume: NDArray[np.float32]) -> tuple[NDArray[np.uint8], ...]:
    """The middle axial, coronal and sagittal plane of a volume (D, H, W) in [0, 1].

    Radiological convention: the patient's right is on the left; anterior is up in the axial plane
    and left in the sagittal one, superior is up in the others.
    """
    return tuple(np.rint(255 * np.clip(cut, 0, 1)).astype(np.uint8) for cut in _cuts(volume))


def middle_labels(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """The same planes of a label map (D, H, W)."""
    return tuple(_cuts(labels))


def label_colour(label: int) -> tuple[int, int, int]:
    """RGB of a label: hues a golden section apart, so that labels in a row differ well."""
    red, green, blue = colorsys.hsv_to_rgb(label * 0.618034 % 1, 0.75, 1)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_montage(steps: Sequence[Step], title: str, footer: str) -> Image.Image:
    """All steps, `COLUMNS` in a row, each with its planes one below the other."""
    return _sheet(_tiles(steps, across=False), title, footer)


def draw_frames(steps: Sequence[Step], title: str, footer: str) -> list[Image.Image]:
    """A picture of each step, of one size, with its planes beside each other."""
    return [_sheet([tile], title, footer) for tile in _tiles(steps, across=True)]


def save_montage(picture: Image.Image, path: Path, title: str) -> None:
    """Write a montage as PNG, the notice in its text too."""
    from PIL.PngImagePlugin import PngInfo

    words = PngInfo()
    words.add_text("Title", f"{NOTICE}: {title}")
    picture.save(path, format="PNG", pnginfo=words)


def save_animation(frames: Sequence[Image.Image], path: Path, title: str) -> None:
    """Write frames as a GIF that runs to the end and back for ever, the notice as its comment."""
    from PIL import Image

    there_and_back = [*frames, *frames[-2:0:-1]]
    last = len(frames) - 1
    durations = [_END_MS if n in (0, last) else _FRAME_MS for n in range(len(there_and_back))]
    first, *others = (frame.quantize(256, dither=Image.Dither.NONE) for frame in there_and_back)
    first.save(
        path, format="GIF", save_all=True, append_images=others, duration=durations, loop=0,
        comment=f"{NOTICE}: {title}".encode(),
    )  # fmt: skip


def _cuts(array: NDArray[_Value]) -> list[NDArray[_Value]]:
    return [np.take(array, side // 2, axis)[::-1, ::-1] for axis, side in enumerate(array.shape)]


def _tiles(steps: Sequence[Step], *, across: bool) -> list[Image.Image]:
    """Planes and captions of each step, all of one size."""
    from PIL import Image, ImageDraw

    blocks = [_joined(step, across=across) for step in steps]
    lines = [_lines(step) for step in steps]
    widths = [_text_width(line, _SMALL) for of_step in lines for line, _ in of_step]
    width = max([blocks[0].width, *widths])
    height = blocks[0].height + max(map(len, lines)) * _LINE + _GAP
    tiles = []
    for of_step, block in zip(lines, blocks, strict=True):
        tile = Image.new("RGB", (width, height), _BACKGROUND)
        tile.paste(block, ((width - block.width) // 2, 0))
        draw = ImageDraw.Draw(tile)
        for number, (line, colour) in enumerate(of_step):
            place = (width // 2, block.height + _GAP + number * _LINE)
            draw.text(place, line, colour, _font(_SMALL), anchor="mt")
        tiles.append(tile)
    return tiles


def _lines(step: Step) -> list[tuple[str, tuple[int, int, int]]]:
    """Captions and legend, each line with its colour."""
    captions = [(caption, _TEXT) for caption in step.captions]
    return captions + [(line, label_colour(label)) for label, line in step.legend]


def _joined(step: Step, *, across: bool) -> Image.Image:
    """Enlarged planes, under their labels, beside each other or one below the other."""
    from PIL import Image

    factor = max(1, round(PIXELS / max(max(plane.shape) for plane in step.planes)))
    picture = Image.fromarray(_concatenated(step.planes, across=across))
    size = (factor * picture.width, factor * picture.height)
    picture = picture.resize(size, Image.Resampling.BICUBIC).convert("RGB")
    if not step.labels:
        return picture
    labels = _concatenated(step.labels, across=across).repeat(factor, 0).repeat(factor, 1)
    pixels = np.array(picture, np.float32)
    for label in np.unique(labels[labels != 0]).tolist():
        marked = labels == label
        pixels[marked] += _OPACITY * (np.array(label_colour(label)) - pixels[marked])
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def _concatenated(planes: Sequence[NDArray[_Value]], *, across: bool) -> NDArray[_Value]:
    # In the first axis of a picture rows follow each other.
    axis = 1 if across else 0
    side = max(plane.shape[1 - axis] for plane in planes)
    return np.concatenate([_centred(plane, side, 1 - axis) for plane in planes], axis)


def _centred(plane: NDArray[_Value], side: int, axis: int) -> NDArray[_Value]:
    """A plane with black on both sides of an axis, so that it has ``side`` pixels there."""
    missing = side - plane.shape[axis]
    around = [(0, 0), (0, 0)]
    around[axis] = (missing // 2, missing - missing // 2)
    return np.pad(plane, around)


def _sheet(tiles: Sequence[Image.Image], title: str, footer: str) -> Image.Image:
    """Tiles in rows under a title, over the notice and a footer."""
    from PIL import Image, ImageDraw

    width, height = tiles[0].size
    beside = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // beside)
    words = [(title, _LARGE), (NOTICE, _LARGE), (footer, _SMALL)]
    inner = max(beside * (width + _GAP) - _GAP, *(_text_width(*word) for word in words))
    size = (inner + 2 * _MARGIN, rows * (height + _GAP) + 2 * _MARGIN + 4 * _LINE)
    picture = Image.new("RGB", size, _BACKGROUND)
    left = (size[0] - beside * (width + _GAP) + _GAP) // 2
    for number, tile in enumerate(tiles):
        place = (number % beside * (width + _GAP), number // beside * (height + _GAP))
        picture.paste(tile, (left + place[0], _MARGIN + 2 * _LINE + place[1]))
    draw = ImageDraw.Draw(picture)
    bottom = size[1] - _MARGIN
    draw.text((_MARGIN, _MARGIN), title, _TEXT, _font(_LARGE))
    draw.text((_MARGIN, bottom - _LINE), NOTICE, _WARNING, _font(_LARGE), anchor="ls")
    draw.text((_MARGIN, bottom), footer, _FAINT, _font(_SMALL), anchor="ls")
    return picture


def _text_width(text: str, size: int) -> int:
    return int(_font(size).getlength(text)) + 1


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)
