"""Samples as they leave the queue, and their augmentation on the device.

A ``RawSample`` is bytes: as much of a volume as the sample's boxes come from, and the area
averages of the whole. ``augmented`` moves both by one transform, then does to the source what a
scanner does, and takes off the skull, so that a box of the augmented volume is the same, but for
noise, whether it is made alone or cut from the whole. Geometry moves all images alike, intensity
changes the source alone: the target is what the network has to say, so it stays.

A sample is augmented by itself, never with its batch, so it is a function of the run's seed and of
its number alone. On a CPU this is exact; on CUDA it holds on one kind of device and one version of
PyTorch, whose noise is another one than the CPU's.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hagan_clinic.backbone.slab import LOW_RES_FACTOR
from hagan_clinic.data.averages import CENTRE, STEP
from hagan_clinic.data.draws import Drawn, Matrix
from hagan_clinic.data.moving import (
    Box,
    Wanted,
    moved,
    source_box,
    travelled,
    ways,
    with_air,
)
from hagan_clinic.data.scanner import (
    Lattice,
    bias_field,
    contrast,
    noisy,
    thick_margin,
    thick_slices,
)
from hagan_clinic.volume import Shape

Batch = dict[str, Tensor]

LOW_CENTRE = (LOW_RES_FACTOR - 1) / 2
"""Low-resolution voxel k has its centre at voxel LOW_RES_FACTOR * k + LOW_CENTRE."""


@dataclass(frozen=True)
class Cut:
    """What a sample shows of an augmented volume.

    Attributes:
        seen: Where the source is wanted.
        learnt: Where target and brain are wanted, in ``seen``.
        names: What batches call the former and the latter: ``source_<name>`` and so on.
        whole: The whole volumes are wanted too.
        low: The low-resolution wholes are wanted too.
    """

    seen: Box
    learnt: Box
    names: tuple[str, str]
    whole: bool = False
    low: bool = True


@dataclass(frozen=True, eq=False)
class RawSample:
    """A sample before its augmentation.

    Attributes:
        source: uint8 (C, d, h, w), what ``held`` has of the volume: 0 is background, 255 is 1.
        target: uint8 (1, d, h, w), or None.
        brain: uint8 (1, d, h, w), 0 or 1.
        averages: uint8 (C + T + 1, ...), see ``data.averages``: source, target and brain.
        region: uint8 (1, d, h, w), see ``data.region``: 255 is what counts most; or None.
        held: Where in the volume all but the averages are; all else that the sample shows is empty.
        shape: (D, H, W) of the volume.
        spacing: mm along D, H, W.
        cut: What is wanted.
        drawn: What is done to the volume.
        noise_seed: Of the sample's noise.
        numbers: What else goes into the batch.
    """

    source: Tensor
    target: Tensor | None
    brain: Tensor
    averages: Tensor
    region: Tensor | None
    held: Box
    shape: Shape
    spacing: tuple[float, float, float]
    cut: Cut
    drawn: Drawn
    noise_seed: int
    numbers: dict[str, int | list[float]] = field(default_factory=dict)

    def to(self, device: torch.device) -> "RawSample":
        """On the device; to CUDA through pinned memory, without waiting for it."""

        def there(part: Tensor) -> Tensor:
            if device.type == "cuda" and part.device.type == "cpu":
                part = part.pin_memory()
            return part.to(device, non_blocking=True)

        return replace(
            self,
            source=there(self.source),
            target=None if self.target is None else there(self.target),
            brain=there(self.brain),
            averages=there(self.averages),
            region=None if self.region is None else there(self.region),
        )


def held_box(cut: Cut, drawn: Drawn, matrix: Matrix, shape: Shape) -> Box:
    """What of a volume a sample is made from."""
    return source_box(_working_box(cut, drawn, shape), matrix, shape)


def augmented(sample: RawSample) -> Batch:
    """A sample of the batch, float32 in [-1, 1] with the background at -1 and the brain in [0, 1].

    See ``data.queue.slab_loader`` for what there is in it.
    """
    drawn, cut, shape = sample.drawn, sample.cut, sample.shape
    matrix = drawn.matrix(shape, sample.spacing)
    everything = Box.whole(shape)
    seen, learnt = (everything, everything) if cut.whole else (cut.seen, cut.learnt)
    low = _moved_averages(sample, matrix)
    bare = sample.target
    if bare is not None and drawn.stripped:
        bare = bare * sample.brain
    lens = seen.grown(thick_margin(drawn.thick), shape)
    around = seen.grown((drawn.erosion,) * 3, shape) if drawn.stripped else learnt
    wanted = [Wanted(sample.source, lens), Wanted(sample.brain, around, nearest=True)]
    wanted += [] if bare is None else [Wanted(bare, learnt)]
    wanted += [] if sample.region is None else [Wanted(sample.region, everything)]
    source, brain, *others = moved(wanted, sample.held, matrix)
    region = None if sample.region is None else others.pop()
    bias = _low_bias(sample, low)
    source = _scanned(sample, source.div_(255), lens, seen, bias)
    target = others[0].div_(255) if others else None
    if drawn.stripped:
        brain = seen.of(_eroded(brain, drawn.erosion), around.start)
        source.mul_(brain)  # again: interpolation has smeared the edge of the brain
        brain = learnt.of(brain, seen.start)
        target = None if target is None else target.mul_(brain)

    images = {"source": _for_network(source), "brain": brain}
    if target is not None:
        images["target"] = _for_network(target)
    # These stay on the CPU: a step that read them off a device would wait for all its work.
    result: Batch = {name: torch.tensor(number) for name, number in sample.numbers.items()}
    for name, image in images.items():
        here, box = (cut.names[0], cut.seen) if name == "source" else (cut.names[1], cut.learnt)
        origin = seen.start if name == "source" else learnt.start
        result[f"{name}_{here}"] = box.of(image, origin)
    if cut.whole:
        wholes = images if cut.names[0] == cut.names[1] else {"source": images["source"]}
        result |= {f"{name}_whole": image for name, image in wholes.items()}
    if region is not None:
        result["region_whole"] = region.div_(255)
    if not cut.low:
        return result
    if seen == everything == learnt:
        lows = {
            name: functional.avg_pool3d(image, LOW_RES_FACTOR) for name, image in images.items()
        }
    else:
        lows = _low_images(sample, low, bias)
    return result | {f"{name}_low": image for name, image in lows.items()}


def _working_box(cut: Cut, drawn: Drawn, shape: Shape) -> Box:
    box = Box.whole(shape) if cut.whole else cut.seen
    erosion = (drawn.erosion,) * 3
    d, h, w = (max(sides) for sides in zip(thick_margin(drawn.thick), erosion, strict=True))
    return box.grown((d, h, w), shape)


def _moved_averages(sample: RawSample, matrix: Matrix) -> Tensor:
    """Low-resolution wholes of source, target and brain, moved, 0 to 1: (C + T + 1, d, h, w)."""
    d, h, w = (side // LOW_RES_FACTOR for side in sample.shape)
    places = matrix.copy()
    places[:, 3] += LOW_CENTRE * matrix[:, :3].sum(1) + CENTRE
    places[:, :3] *= LOW_RES_FACTOR
    given = sample.averages.shape[1], sample.averages.shape[2], sample.averages.shape[3]
    along = ways(places / STEP, given, (d, h, w), sample.averages.device)
    return torch.stack([travelled(channel, along) for channel in with_air(sample.averages)]) / 255


def _low_bias(sample: RawSample, low: Tensor) -> tuple[Tensor, Tensor] | None:
    """Each channel's bias field at low resolution, and what gives it a mean of 1 over the head.

    The intensity window would take a common factor out again.
    """
    if sample.drawn.bias is None:
        return None
    field = bias_field(sample.drawn.bias, _low_lattices(sample.shape), low.device)
    head = (low[: len(field)] > 0).float()
    inside = head.sum((1, 2, 3), keepdim=True)
    scale = inside / (field * head).sum((1, 2, 3), keepdim=True).clamp_min(1)
    return field, scale


def _scanned(
    sample: RawSample,
    image: Tensor,
    around: Box,
    seen: Box,
    bias: tuple[Tensor, Tensor] | None,
) -> Tensor:
    """The source as a scanner shows it, 0 to 1."""
    drawn, shape, device = sample.drawn, sample.shape, image.device
    if drawn.bias is not None and bias is not None:
        image.mul_(bias_field(drawn.bias, _lattices(around, shape), device)).mul_(bias[1])
    if drawn.gamma is not None:
        image = contrast(image, drawn.gamma)
    if drawn.noise:
        image = noisy(image, drawn.noise, _generator(sample, 0))
    if drawn.thick is not None:
        axis, thickness = drawn.thick
        given, wanted = (_lattices(box, shape)[axis] for box in (around, seen))
        image = thick_slices(image, axis, thickness, given, wanted)
    return image


def _low_images(sample: RawSample, low: Tensor, bias: tuple[Tensor, Tensor] | None) -> Batch:
    """The low-resolution wholes as the scanner and the stripping leave them.

    They are the averages of the augmented volume but for what does not commute with averaging:
    contrast at edges, and slices thinner than a low-resolution voxel, which are left out.
    """
    drawn, channels = sample.drawn, len(sample.source)
    source, target, brain = low[:channels], low[channels:-1], low[-1:]
    if bias is not None:
        source = source * (bias[0] * bias[1])
    if drawn.gamma is not None:
        source = contrast(source, drawn.gamma)
    if drawn.noise:
        spread = drawn.noise / LOW_RES_FACTOR**1.5  # of the mean of so many voxels
        source = noisy(source, spread, _generator(sample, 1))
    if drawn.thick is not None and drawn.thick[1] > LOW_RES_FACTOR:
        axis, thickness = drawn.thick
        lattice = Lattice(0, 1, source.shape[axis + 1], source.shape[axis + 1])
        source = thick_slices(source, axis, thickness / LOW_RES_FACTOR, lattice, lattice)
    if drawn.erosion:
        tighter = _worn(brain, drawn.erosion)
        kept = tighter / brain.clamp_min(1e-3)
        source, target, brain = source * kept, target * kept, tighter
    images = {"source": _for_network(source), "brain": brain}
    return images | ({"target": _for_network(target)} if len(target) else {})


def _eroded(mask: Tensor, layers: int) -> Tensor:
    """A mask (1, D, H, W) of 0 and 1 less so many layers of voxels; borders take none off."""
    for _ in range(layers):
        for axis in (1, 2, 3):
            size = mask.shape[axis]
            first, last = mask.narrow(axis, 0, size - 1), mask.narrow(axis, 1, size - 1)
            smaller = mask.clone()
            smaller.narrow(axis, 1, size - 1).mul_(first)
            smaller.narrow(axis, 0, size - 1).mul_(last)
            mask = smaller
    return mask


def _worn(parts: Tensor, layers: int) -> Tensor:
    """Parts of low-resolution voxels that a mask fills, less so many layers of the volume's voxels.

    Across an edge the means of 12 voxels tell how far it is, so it is moved by the layers; by
    2/5 more, as a cube of neighbours takes more off a surface that is aslant.
    """
    while layers > 0:
        step = min(layers, 2)
        layers -= step
        wide = functional.avg_pool3d(parts, 3, stride=1, padding=1, count_include_pad=False)
        moved_edge = (0.5 + 3 * (wide - 0.5) - 1.4 * step / LOW_RES_FACTOR).clamp(0, 1)
        parts = torch.minimum(parts, moved_edge)
    return parts


def _lattices(box: Box, shape: Shape) -> list[Lattice]:
    return [
        Lattice(first, 1, length, side)
        for first, length, side in zip(box.start, box.shape, shape, strict=True)
    ]


def _low_lattices(shape: Shape) -> list[Lattice]:
    factor = LOW_RES_FACTOR
    return [Lattice(LOW_CENTRE, factor, side // factor, side) for side in shape]


def _generator(sample: RawSample, stream: int) -> torch.Generator:
    seed = int(np.random.SeedSequence((sample.noise_seed, stream)).generate_state(1, np.uint64)[0])
    return torch.Generator(sample.source.device).manual_seed(seed >> 1)


def _for_network(values: Tensor) -> Tensor:
    """[0, 1] -> [-1, 1], clipped, in place."""
    return values.clamp_(0, 1).mul_(2).sub_(1)
