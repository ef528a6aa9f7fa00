"""The preview: source, synthetic volume and uncertainty in three planes, as one PNG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.imageio import atomic_path
from hagan_clinic.intensity import foreground, occupied_spans, source_window
from hagan_clinic.runtime.provenance import NOTICE
from hagan_clinic.volume import Volume, to_canonical

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

Array = NDArray[Any]
_Shade = Callable[[Array], Array]  # values of a slice to colours from 0 to 255

PIXELS_PER_MM = 1.6
SCALE_BAR_MM = 50

_BACKGROUND, _TEXT = (10, 11, 14), (222, 226, 232)
_FAINT, _WARNING = (128, 135, 146), (255, 176, 84)
_UNKNOWN = (52, 56, 64)
_MARGIN, _GAP, _HEADER, _FOOTER, _BAR = 28, 10, 76, 78, 96
# Every second voxel each way tells enough of centre, window and range.
_EVERY = (slice(None, None, 2),) * 3
_PADDING = 12
"""Black pixels around each slice, so that letters stand beside the head."""
# Anchors of matplotlib's "inferno": perceptually even, and readable without colour vision.
_INFERNO = np.array(
    [
        *((0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85)),
        *((227, 89, 51), (249, 140, 10), (249, 201, 50), (252, 255, 164)),
    ],
    dtype=np.float64,
)


@dataclass(frozen=True)
class _Plane:
    """A slice of the canonical axes (D, H, W) and the patient's sides at its borders."""

    name: str
    axis: int
    left: str
    right: str
    top: str
    bottom: str


# Radiological convention: the patient's right on the left of the picture, anterior to the top or
# the left. D and W run to superior and right, so that both are mirrored, and H to anterior.
_PLANES = (
    _Plane("axial", 0, "R", "L", "A", "P"),
    _Plane("coronal", 1, "R", "L", "S", "I"),
    _Plane("sagittal", 2, "A", "P", "S", "I"),
)


def write_preview(
    path: Path,
    sources: Sequence[tuple[str, Volume]],
    target: tuple[str, Volume],
    uncertainty: Volume,
    footer: str,
) -> None:
    """Draw and write the preview, atomically.

    Args:
        path: A `.png` file.
        sources: Name and volume of each source, in scanner units.
        target: Name and synthesised volume, in [0, 1].
        uncertainty: Half-width of the 90 % interval, in the same units; drawn grey where it is 1
            and nothing is known.
        footer: One line about model and licence.

    Raises:
        OutputError: The file cannot be written.
    """
    from PIL.PngImagePlugin import PngInfo

    picture = draw_preview(sources, target, uncertainty, footer)
    words = PngInfo()
    words.add_text("Title", f"{NOTICE}: {target[0]} synthesised by hagan-clinic")
    words.add_text("Comment", footer)
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=words)


def draw_preview(
    sources: Sequence[tuple[str, Volume]],
    target: tuple[str, Volume],
    uncertainty: Volume,
    footer: str,
    real: Volume | None = None,
) -> Image.Image:
    """The picture: a row a plane through the head's centre, a column an image (see above).

    With `real`, the target as it was acquired, in [0, 1] on the same grid, there is a column of it
    beside the synthetic one.
    """
    from PIL import Image, ImageDraw

    first = to_canonical(sources[0][1])
    head = foreground(first.array[_EVERY])
    centre = _centre(head)
    half_width = to_canonical(uncertainty).array
    top = _top_of_scale(half_width[_EVERY][head])
    columns: list[tuple[str, str, Array, _Shade]] = [
        *(
            (name, "source", volume.array, _windowed(volume))
            for name, volume in ((name, to_canonical(scan)) for name, scan in sources)
        ),
        (target[0], "synthetic", to_canonical(target[1]).array, _grey),
        *([] if real is None else [(target[0], "real", to_canonical(real).array, _grey)]),
        (
            "uncertainty",
            "half-width of the 90 % interval, synthetic",
            half_width,
            partial(_inferno, top=top),
        ),
    ]
    rows = [
        [_pixels(array, first.spacing, plane, centre, shade) for *_, array, shade in columns]
        for plane in _PLANES
    ]
    widths = max(tile.width for row in rows for tile in row) + 2 * _PADDING
    heights = [max(tile.height for tile in row) + 2 * _PADDING for row in rows]
    size = (
        2 * _MARGIN + len(columns) * widths + (len(columns) - 1) * _GAP + _BAR,
        _HEADER + sum(heights) + (len(rows) - 1) * _GAP + _FOOTER,
    )
    picture = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(picture)
    for column, (title, subtitle, *_) in enumerate(columns):
        x = _MARGIN + column * (widths + _GAP)
        draw.text((x, 18), title.upper(), _TEXT, _font(22))
        draw.text((x, 46), subtitle, _FAINT, _font(13))
    y = _HEADER
    for plane, row, height in zip(_PLANES, rows, heights, strict=True):
        for column, tile in enumerate(row):
            x = _MARGIN + column * (widths + _GAP)
            box = (x, y, x + widths, y + height)
            draw.rectangle(box, fill=(0, 0, 0))
            picture.paste(tile, (x + (widths - tile.width) // 2, y + (height - tile.height) // 2))
            _label(draw, box, plane)
        y += height + _GAP
    last = _MARGIN + (len(columns) - 1) * (widths + _GAP) + widths
    _colour_bar(draw, (last + 22, _HEADER + 8, last + 38, _HEADER + heights[0] - 8), top)
    _draw_footer(draw, size, footer)
    return picture


def _centre(head: NDArray[np.bool_]) -> list[int]:
    """The middle of the head's extent along each axis."""
    # The sum of first and last is twice the middle, in steps of two voxels.
    return [sum(span) - 1 for span in occupied_spans(head)]


def _windowed(volume: Volume) -> _Shade:
    """A scan in its own window, with headroom for what is brighter than the brain."""
    window = source_window(volume.array[_EVERY], [2 * step for step in volume.spacing])
    span = 1.15 * (window.high - window.low)
    return lambda cut: _grey((cut - window.low) / span)


def _grey(cut: Array) -> Array:
    """0 is black, 1 is white."""
    return np.repeat(np.clip(cut, 0, 1)[..., np.newaxis] * 255, 3, axis=-1)


def _inferno(cut: Array, top: float) -> Array:
    """Half-widths from 0 to the top of the scale; 1, where nothing is known, has no colour."""
    stops = np.linspace(0, top, len(_INFERNO))
    colours = np.stack([np.interp(cut, stops, channel) for channel in _INFERNO.T], axis=-1)
    colours[cut >= 1] = _UNKNOWN
    return colours


def _top_of_scale(half_width: Array) -> float:
    """A round upper end of the colour bar: only the most uncertain voxels in 200 go beyond.

    Of the head's voxels, so that no air, of which a box holds more or less, bends the scale.
    """
    known = half_width[(half_width > 0) & (half_width < 1)]
    highest = float(np.percentile(known, 99.5)) if known.size else 0.1
    return max(math.ceil(highest * 20) / 20, 0.05)


def _pixels(
    array: Array,
    spacing: Sequence[float],
    plane: _Plane,
    centre: Sequence[int],
    shade: _Shade,
) -> Image.Image:
    """One slice as a picture in true proportions."""
    from PIL import Image

    cut = np.take(array, centre[plane.axis], axis=plane.axis)[::-1]
    # Rows now run downwards from superior or anterior. Columns are W, or H in the sagittal plane,
    # and both are mirrored for the convention.
    values = shade(cut[:, ::-1])
    row_mm, column_mm = (step for axis, step in enumerate(spacing) if axis != plane.axis)
    size = (
        max(round(cut.shape[1] * column_mm * PIXELS_PER_MM), 1),
        max(round(cut.shape[0] * row_mm * PIXELS_PER_MM), 1),
    )
    picture = Image.fromarray(np.rint(values).astype(np.uint8), "RGB")
    return picture.resize(size, Image.Resampling.BICUBIC)


def _label(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], plane: _Plane) -> None:
    """Sides at the borders, a scale bar in the corner."""
    left, top, right, bottom = box
    middle_x, middle_y = (left + right) // 2, (top + bottom) // 2
    for letter, place, anchor in (
        (plane.left, (left + 7, middle_y), "lm"),
        (plane.right, (right - 7, middle_y), "rm"),
        (plane.top, (middle_x, top + 6), "mt"),
        (plane.bottom, (middle_x, bottom - 6), "mb"),
    ):
        _write(draw, place, letter, _TEXT, 14, anchor)
    length = round(SCALE_BAR_MM * PIXELS_PER_MM)
    x, y = right - 12 - length, bottom - 12
    draw.line((x, y, x + length, y), _TEXT, 2)
    for end in (x, x + length):
        draw.line((end, y - 4, end, y + 4), _TEXT, 2)
    _write(draw, (x + length // 2, y - 6), f"{SCALE_BAR_MM} mm", _TEXT, 12, "mb")
    _write(draw, (left + 8, bottom - 8), plane.name, _FAINT, 12, "lb")


def _write(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    colour: tuple[int, int, int],
    size: int,
    anchor: str,
) -> None:
    """Text on an image: with a black rim, so that it reads on any tissue."""
    draw.text(place, text, colour, _font(size), anchor, stroke_width=2, stroke_fill=(0, 0, 0))


def _colour_bar(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], highest: float) -> None:
    left, top, right, bottom = box
    stops = np.linspace(0, 1, len(_INFERNO))
    for y in range(top, bottom + 1):
        share = (bottom - y) / (bottom - top)
        colour = tuple(round(float(np.interp(share, stops, c))) for c in _INFERNO.T)
        draw.line((left, y, right, y), colour)
    for share in (0.0, 0.5, 1.0):
        y = round(bottom - share * (bottom - top))
        draw.line((right, y, right + 5, y), _TEXT)
        draw.text(
            (right + 9, y),
            f"±{share * highest:.3g}" if share else "0",
            _TEXT,
            _font(12),
            anchor="lm",
        )
    draw.text((left - 2, bottom + 14), "of the", _FAINT, _font(11))
    draw.text((left - 2, bottom + 27), "0 to 1 scale;", _FAINT, _font(11))
    draw.text((left - 2, bottom + 40), "grey: unknown", _FAINT, _font(11))


def _draw_footer(draw: ImageDraw.ImageDraw, size: tuple[int, int], footer: str) -> None:
    width, height = size
    draw.text((_MARGIN, height - 44), NOTICE, _WARNING, _font(20), anchor="ls")
    draw.text((_MARGIN, height - 20), footer, _FAINT, _font(12), anchor="ls")
    draw.text(
        (width - _MARGIN, height - 20),
        "radiological convention: the patient's right is on the left",
        _FAINT,
        _font(12),
        anchor="rs",
    )


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)
