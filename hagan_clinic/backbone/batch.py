"""Batches that models train on: named tensors of known shapes, checked before the step."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional

from hagan_clinic.backbone.slab import LOW_RES_FACTOR, Slab, take_slabs
from hagan_clinic.errors import InputError


class _Batch:
    """What both kinds of batch share: to be made of a mapping, and checked."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @classmethod
    def of(cls, given: "_Batch | Mapping[str, Tensor]") -> Self:
        """The batch of a mapping, such as a ``DataLoader`` gives; entries of other names stay out.

        Raises:
            InputError: An entry is missing, or has another shape.
        """
        if isinstance(given, cls):
            return given
        if isinstance(given, _Batch):
            raise InputError(f"a batch is a {type(given).__name__}; expected a {cls.__name__}")
        needed = [field.name for field in fields(cls) if field.default is MISSING]
        if missing := [name for name in needed if name not in given]:
            raise InputError(
                f"the batch lacks {', '.join(missing)} and has {', '.join(given) or 'nothing'}; "
                f"expected the entries of {cls.__module__}.{cls.__name__}"
            )
        names = (field.name for field in fields(cls))
        return cls(**{name: given[name] for name in names if name in given})

    def _check(self, sizes: Mapping[str, tuple[int | None, ...]]) -> None:
        """Refuse a tensor that has not the sizes; None is any."""
        for name, expected in sizes.items():
            found = tuple(getattr(self, name).shape)
            fits = len(found) == len(expected) and all(
                wanted in (None, size) for size, wanted in zip(found, expected, strict=True)
            )
            if not fits:
                words = ", ".join("any" if size is None else str(size) for size in expected)
                raise InputError(f"the batch's {name} has the shape {found}; expected ({words})")


@dataclass(frozen=True, eq=False)
class TranslationBatch(_Batch):
    """Slabs of pairs, with the low-resolution wholes: what ``ConditionalHAGAN`` trains on.

    Images are float32 in [-1, 1] with the background at -1; w is the thickness with the halo.

    Attributes:
        source_window: (B, C, w, H, W), the source's slab with its halo.
        target_slab: (B, 1, thickness, H, W), X_r^H.
        brain_slab: (B, 1, thickness, H, W), where the loss counts in full, in [0, 1].
        source_low: (B, C, D/4, H/4, W/4), X^L of the source.
        target_low: (B, 1, D/4, H/4, W/4), X^L of the target.
        brain_low: (B, 1, D/4, H/4, W/4), in [0, 1].
        slab_start: (B,) int64, r: where in D the slab starts, a multiple of 4.
        window_start: (B,) int64, where the window starts.

    Raises:
        InputError: Shapes that do not fit together.
    """

    source_window: Tensor
    target_slab: Tensor
    brain_slab: Tensor
    source_low: Tensor
    target_low: Tensor
    brain_low: Tensor
    slab_start: Tensor
    window_start: Tensor

    def __post_init__(self) -> None:
        samples, _, _, height, width = _five(self, "source_window")
        channels, thickness = self.source_window.shape[1], _five(self, "target_slab")[2]
        depth = _five(self, "source_low")[2]
        low = (depth, height // LOW_RES_FACTOR, width // LOW_RES_FACTOR)
        slab = (samples, 1, thickness, height, width)
        self._check(
            {
                "target_slab": slab,
                "brain_slab": slab,
                "source_low": (samples, channels, *low),
                "target_low": (samples, 1, *low),
                "brain_low": (samples, 1, *low),
                "slab_start": (samples,),
                "window_start": (samples,),
            }
        )

    @classmethod
    def cut(
        cls,
        source: Tensor,
        target: Tensor,
        brain: Tensor,
        starts: Sequence[int] | Tensor,
        thickness: int,
        halo: int,
    ) -> Self:
        """Cut whole volumes, one slab of each.

        Args:
            source: (B, C, D, H, W), D, H and W multiples of 16.
            target: (B, 1, D, H, W).
            brain: (B, 1, D, H, W), in [0, 1].
            starts: r of each, multiples of 4.
            thickness: Slices of a slab, a multiple of 4.
            halo: Real slices on each side, a multiple of 4.
        """
        starts = [int(start) for start in starts]
        windows = [Slab(start, thickness).window(source.shape[2], halo) for start in starts]
        window_starts = [window.start for window in windows]
        return cls(
            source_window=take_slabs(source, window_starts, windows[0].thickness),
            target_slab=take_slabs(target, starts, thickness),
            brain_slab=take_slabs(brain, starts, thickness),
            source_low=functional.avg_pool3d(source, LOW_RES_FACTOR),
            target_low=functional.avg_pool3d(target, LOW_RES_FACTOR),
            brain_low=functional.avg_pool3d(brain, LOW_RES_FACTOR),
            slab_start=torch.tensor(starts),
            window_start=torch.tensor(window_starts),
        )


@dataclass(frozen=True, eq=False)
class SynthesisBatch(_Batch):
    """Slabs of volumes, with the wholes: what ``HAGAN`` trains on.

    Images are float32 in [-1, 1] with the background at -1.

    Attributes:
        source_window: (B, 1, d, H, W), the slab X_r^H, without a halo.
        source_low: (B, 1, D/4, H/4, W/4), X^L.
        slab_start: (B,) int64, r: where in D the slab starts, a multiple of 4.
        index: (B,) int64, the samples' numbers, from which the noise is drawn.
        source_whole: (B, 1, D, H, W), for the encoder; None without one.
        label: (B,) int64, class labels; None without classes.
        measurements: (B, M) in standard scores, NaN where nothing was measured; None without.
        region_whole: (B, 1, D, H, W) in [0, 1], where reconstruction counts more; None without.

    Raises:
        InputError: Shapes that do not fit together.
    """

    source_window: Tensor
    source_low: Tensor
    slab_start: Tensor
    index: Tensor
    source_whole: Tensor | None = None
    label: Tensor | None = None
    measurements: Tensor | None = None
    region_whole: Tensor | None = None

    def __post_init__(self) -> None:
        samples, _, _, height, width = _five(self, "source_window")
        low = (height // LOW_RES_FACTOR, width // LOW_RES_FACTOR)
        sizes: dict[str, tuple[int | None, ...]] = {
            "source_window": (samples, 1, None, height, width),
            "source_low": (samples, 1, None, *low),
            "slab_start": (samples,),
            "index": (samples,),
            "source_whole": (samples, 1, None, height, width),
            "label": (samples,),
            "measurements": (samples, None),
            "region_whole": (samples, 1, None, height, width),
        }
        self._check({name: size for name, size in sizes.items() if getattr(self, name) is not None})

    @classmethod
    def cut(
        cls,
        volume: Tensor,
        starts: Sequence[int] | Tensor,
        thickness: int,
        index: Sequence[int] | Tensor,
        label: Tensor | None = None,
    ) -> Self:
        """Cut whole volumes (B, 1, D, H, W), one slab of each.

        Args:
            volume: (B, 1, D, H, W) of the model's size.
            starts: r of each, multiples of 4.
            thickness: Slices of a slab, as of the model.
            index: Numbers of the samples: another each step, or the noise is the same again.
            label: (B,), of a model with classes.
        """
        return cls(
            source_window=take_slabs(volume, starts, thickness),
            source_low=functional.avg_pool3d(volume, LOW_RES_FACTOR),
            slab_start=torch.as_tensor(starts),
            index=torch.as_tensor(index),
            source_whole=volume,
            label=label,
        )


@dataclass(frozen=True, eq=False)
class PatchBatch(_Batch):
    """Cubes of pairs: what the baselines on patches train on.

    Attributes:
        source_patch: (B, C, side, side, side).
        target_patch: (B, 1, side, side, side).
        brain_patch: (B, 1, side, side, side), where the loss counts in full, in [0, 1].
        source_whole: (B, C, D, H, W); None where only patches are learnt from.
        target_whole: (B, 1, D, H, W), or None.
        brain_whole: (B, 1, D, H, W), or None.

    Raises:
        InputError: Shapes that do not fit together.
    """

    source_patch: Tensor
    target_patch: Tensor
    brain_patch: Tensor
    source_whole: Tensor | None = None
    target_whole: Tensor | None = None
    brain_whole: Tensor | None = None

    def __post_init__(self) -> None:
        samples, _, *sides = _five(self, "source_patch")
        patch = (samples, 1, *sides)
        self._check({"target_patch": patch, "brain_patch": patch})

    def wholes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Source, target and brain of the whole volumes.

        Raises:
            InputError: The batch has none.
        """
        source, target, brain = self.source_whole, self.target_whole, self.brain_whole
        if source is None or target is None or brain is None:
            raise InputError("the batch lacks source_whole, target_whole or brain_whole: give them")
        return source, target, brain


@dataclass(frozen=True, eq=False)
class VolumeBatch(_Batch):
    """Whole volumes: what the unconditional baselines train on.

    Attributes:
        source_whole: (B, 1, D, H, W) in [-1, 1] with the background at -1.
        index: (B,) int64, the samples' numbers, from which the noise is drawn.

    Raises:
        InputError: Shapes that do not fit together.
    """

    source_whole: Tensor
    index: Tensor

    def __post_init__(self) -> None:
        samples, *_ = _five(self, "source_whole")
        self._check({"source_whole": (samples, 1, None, None, None), "index": (samples,)})


def _five(batch: _Batch, name: str) -> tuple[int, int, int, int, int]:
    """Sizes of an image of the batch."""
    shape = tuple(getattr(batch, name).shape)
    if len(shape) != 5:
        raise InputError(f"the batch's {name} has the shape {shape}; expected (B, C, D, H, W)")
    return shape
