"""One subject of a page: its images on one grid, cropped to the head, as compressed bytes."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.intensity import foreground, occupied_spans, source_window
from hagan_clinic.volume import Grid, Volume, crop_or_pad, resample, resampled_grid, to_canonical

Kind = Literal["source", "synthetic", "error bar", "real"]

COARSEST_MM = 4.0
"""No page is made coarser to be small: at 4 mm a head still shows what is wrong with it."""

_MARGIN_MM = 5.0  # around the head, whose thinnest slices count as noise
_BYTES_A_VOXEL = 0.5  # of the page, compressed; a first guess
_BRIGHTEST = 99.95  # percentile: a few spikes would leave the rest few of the 255 steps
_THUMBNAIL = 72  # pixels across each image


@dataclass(frozen=True)
class Picture:
    """An image as the page holds it: value = low + step * byte.

    Attributes:
        name: The sequence.
        kind: What it is of the subject.
        data: The bytes (D, H, W) of the subject's grid, gzip within base64.
        low: Value of byte 0, which stands for what is lower too.
        step: Value between neighbouring bytes; 255 stands for what is higher too.
        window: The values that the page shows black and white at first.
        scanner: Of a real image, the scanner values that 0 and 1 are.
    """

    name: str
    kind: Kind
    data: str
    low: float
    step: float
    window: tuple[float, float]
    scanner: tuple[float, float] | None = None


@dataclass(frozen=True)
class ShownSubject:
    """What the page shows of one subject.

    Attributes:
        name: For people.
        key: Of the synthesised voxels: a verdict is kept under it, whatever they are called.
        grid: Canonical axes (D, H, W), cropped to the head.
        pictures: Sources, then synthetic, real if there is one, and error bar if there is one.
        warnings: As they were shown.
        figures: Numbers of the table, by heading.
        thumbnail: JPEG within base64.
    """

    name: str
    key: str
    grid: Grid
    pictures: tuple[Picture, ...]
    warnings: tuple[str, ...]
    figures: Mapping[str, float]
    thumbnail: str

    @property
    def size(self) -> int:
        """Bytes in the page, but for some hundred of text."""
        return sum(len(picture.data) for picture in self.pictures) + len(self.thumbnail)


@dataclass(frozen=True)
class Failure:
    """A scan of which there is nothing to show.

    Attributes:
        name: For people.
        reason: Why, in one line.
    """

    name: str
    reason: str


def make_subject(
    name: str,
    sources: Sequence[tuple[str, Volume]],
    target: tuple[str, Volume],
    *,
    uncertainty: Volume | None = None,
    real: Volume | None = None,
    real_is_scaled: bool = False,
    warnings: Sequence[str] = (),
    figures: Mapping[str, float] | None = None,
    limit: int,
) -> ShownSubject:
    """Bring a subject's images to the synthetic one's grid and into `limit` bytes.

    Args:
        name: For people.
        sources: Name and volume of each, in scanner units.
        target: Name and synthesised volume, in [0, 1].
        uncertainty: Half-width of the 90 % interval, in the same units.
        real: The target as it was acquired, in scanner units; it is shown from 0 to 1 by the same
            percentiles as sources are scaled by.
        real_is_scaled: It is on the synthetic one's scale already.
        warnings: Of the run.
        figures: Those of the table; otherwise means over the voxels that were synthesised.
        limit: Bytes. Beyond, the voxels are made larger, up to `COARSEST_MM`.

    Raises:
        InputError: A source or the real image is constant.
    """
    synthetic = to_canonical(target[1])
    grid = synthetic.grid
    shown = [_source(sequence, _on(grid, scan)) for sequence, scan in sources]
    head = synthetic.array > 0
    for scan in shown:
        head |= foreground(scan.volume.array)
    shown.append(_Shown(target[0], "synthetic", synthetic))
    if real is not None:
        scaled = _on(grid, real)
        shown.append(
            _Shown(target[0], "real", scaled) if real_is_scaled else _real(target[0], scaled)
        )
    if uncertainty is not None:
        bar = _on(grid, uncertainty)
        shown.append(_Shown(target[0], "error bar", bar, (0.0, _top_of_scale(bar.array, head))))
    if figures is None:
        figures = _figures({one.kind: one.volume.array for one in shown[len(sources) :]})
    start, shape = _box(head, grid.spacing)
    cut = [replace(one, volume=crop_or_pad(one.volume, start, shape)) for one in shown]
    finest = _likely_spacing(cut, limit)
    key = hashlib.sha256(synthetic.array.tobytes()).hexdigest()[:16]
    while True:
        grid = cut[0].volume.grid
        if finest > min(grid.spacing):
            grid = resampled_grid(grid, [max(finest, own) for own in grid.spacing])
        coded = [_coded(resample(one.volume, grid)) for one in cut]
        subject = ShownSubject(
            name,
            key,
            grid,
            tuple(
                Picture(one.name, one.kind, _packed(array), low, step, one.window, one.scanner)
                for one, (array, low, step) in zip(cut, coded, strict=True)
            ),
            tuple(warnings),
            figures,
            _thumbnail([array for array, *_ in coded], grid),
        )
        if subject.size <= limit or min(grid.spacing) >= COARSEST_MM:
            return subject
        # Bytes go with the cube of the spacing, a little less as coarse voxels compress worse.
        finest = 1.05 * min(grid.spacing) * math.cbrt(subject.size / limit)
        finest = min(finest, COARSEST_MM)


@dataclass(frozen=True, eq=False)
class _Shown:
    """An image on the way to its `Picture`."""

    name: str
    kind: Kind
    volume: Volume
    window: tuple[float, float] = (0.0, 1.0)
    scanner: tuple[float, float] | None = None


def _source(name: str, scan: Volume) -> _Shown:
    window = source_window(scan.array, scan.spacing)
    return _Shown(name, "source", scan, (window.low, window.high))


def _real(name: str, scan: Volume) -> _Shown:
    window = source_window(scan.array, scan.spacing)
    unit = (scan.array - window.at(0)) / np.float32(window.high - window.low)
    return _Shown(name, "real", scan.with_array(unit), scanner=(window.low, window.high))


def _figures(arrays: Mapping[Kind, NDArray[Any]]) -> dict[str, float]:
    """Means over the voxels that were synthesised."""
    synthetic, real, bar = (arrays.get(kind) for kind in ("synthetic", "real", "error bar"))
    assert synthetic is not None  # every subject has one
    where = synthetic > 0
    figures = {}
    if real is not None:
        error = np.abs(np.clip(real, 0, 1) - synthetic)
        figures["mean absolute error"] = _mean(error, where)
        if bar is not None:
            figures["outside the error bar"] = _mean(error > bar, where)
    if bar is not None:
        figures["mean error bar"] = _mean(bar, where)
    return figures


def _top_of_scale(bar: NDArray[Any], head: NDArray[np.bool_]) -> float:
    """What is nearly the largest half-width, where the network saw the tissue."""
    known = bar[head & (bar < 1)]
    return float(np.percentile(known, 99.5)) if known.size else 1.0


def _mean(values: NDArray[Any], where: NDArray[np.bool_]) -> float:
    return float(values[where].mean(dtype=np.float64)) if where.any() else 0.0


def _box(head: NDArray[np.bool_], spacing: Sequence[float]) -> tuple[list[int], list[int]]:
    """First voxel and size of the box that the page holds."""
    start, shape = [], []
    for (low, high), step, size in zip(occupied_spans(head), spacing, head.shape, strict=True):
        margin = round(_MARGIN_MM / step)
        start.append(max(low - margin, 0))
        shape.append(min(high + margin, size) - start[-1])
    return start, shape


def _likely_spacing(cut: Sequence[_Shown], limit: int) -> float:
    """The finest spacing that `limit` is likely to allow, or 0 where any is."""
    volume = cut[0].volume
    likely = _BYTES_A_VOXEL * len(cut) * math.prod(volume.shape)
    if likely <= limit:
        return 0.0
    return min(math.cbrt(math.prod(volume.spacing) * likely / limit), COARSEST_MM)


def _on(grid: Grid, volume: Volume) -> Volume:
    return resample(to_canonical(volume), grid)


def _coded(volume: Volume) -> tuple[NDArray[np.uint8], float, float]:
    """Bytes, the value of 0, and the value of a step."""
    low = float(volume.array.min())
    high = float(np.percentile(volume.array, _BRIGHTEST))
    if high <= low:
        high = float(volume.array.max())
    step = (high - low) / 255 or 1.0
    scaled = np.rint((volume.array - np.float32(low)) / np.float32(step))
    return np.clip(scaled, 0, 255).astype(np.uint8), low, step


def _packed(array: NDArray[np.uint8]) -> str:
    packed = gzip.compress(np.ascontiguousarray(array).tobytes(), 6, mtime=0)
    return base64.b64encode(packed).decode()


def _thumbnail(arrays: Sequence[NDArray[np.uint8]], grid: Grid) -> str:
    """An axial slice a little above the middle, of each image: R on the left, A at the top."""
    from PIL import Image

    depth, height, width = grid.shape
    _, tall, wide = grid.spacing
    size = (_THUMBNAIL, max(1, round(_THUMBNAIL * height * tall / (width * wide))))
    strip = Image.new("L", (size[0] * len(arrays), size[1]))
    for place, array in enumerate(arrays):
        tile = Image.fromarray(np.ascontiguousarray(array[depth * 11 // 20, ::-1, ::-1]))
        strip.paste(tile.resize(size, Image.Resampling.BILINEAR), (place * size[0], 0))
    written = io.BytesIO()
    strip.save(written, format="JPEG", quality=75)
    return base64.b64encode(written.getvalue()).decode()
