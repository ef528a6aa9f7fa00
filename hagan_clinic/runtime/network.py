"""Run a generator on a prepared volume, whole or slab by slab."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import ModelError
from hagan_clinic.runtime.model_file import ModelFile
from hagan_clinic.runtime.model_interface import CONTEXT, SCALE, SOURCE, TARGET
from hagan_clinic.runtime.pace import Pace
from hagan_clinic.runtime.providers import Device
from hagan_clinic.runtime.session import Session, check_shape, check_varies
from hagan_clinic.runtime.slabs import STEP, MemoryModel, SlabPlan

if TYPE_CHECKING:
    from onnx import ModelProto

Float32 = NDArray[np.float32]

# Copies of the weights that live at one time: the file, the parsed graph, the session's own.
_WEIGHT_COPIES = 4
# Target and scale of every voxel (4 bytes each), context and what computes it at quarter size.
_KEPT_BYTES = 8 + 16


class Network:
    """A generator on a device; sessions are started when they are first needed, and kept.

    Args:
        model: The verified model file.
        device: From `choose_device`.
        threads: CPU threads; all usable cores if not given.
    """

    def __init__(self, model: ModelFile, device: Device, threads: int | None = None) -> None:
        self._model = model
        self._device = device
        self._threads = threads
        self._whole: Session | None = None
        self._halves: tuple[Session, Session] | None = None
        self._pace = Pace()

    @property
    def providers(self) -> list[str]:
        """What the sessions started so far really run on."""
        sessions = [self._whole, *(self._halves or ())]
        return next((s.providers for s in sessions if s is not None), [])

    @property
    def memory(self) -> MemoryModel:
        """What this network takes."""
        return MemoryModel(
            voxel=self._model.activation_bytes,
            kept_voxel=_KEPT_BYTES,
            fixed=_WEIGHT_COPIES * len(self._model.content),
        )

    @property
    def step(self) -> int:
        """What starts of slabs are multiples of: a network without context sees its own grid."""
        return STEP if self._model.has_context else self._model.recipe.multiple

    def run(
        self,
        source: Float32,
        plan: SlabPlan,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> tuple[Float32, Float32]:
        """Translate a volume.

        Args:
            source: (C, D, H, W) in [-1, 1].
            plan: How to cut D; its result does not depend on it, to 1e-4.
            progress: Called with the share that is done after every slab, and with what is likely
                done within one.

        Returns:
            Target in [-1, 1] and Laplace scale in the same units, (D, H, W) each.

        Raises:
            DeviceError: The device's provider is not active, or memory did not suffice.
            ModelError: The network cannot be loaded, failed, or gave values that are not finite,
                no image, or of another shape than the source.
        """
        target, scale = self._run(source, plan, progress)
        check_varies(target, TARGET)
        if scale.min() < 0:
            raise ModelError(
                f"the network gave {float(scale.min()):g} in {SCALE!r}, expected 0 or more: its "
                "weights are damaged"
            )
        return target, scale

    def _run(
        self, source: Float32, plan: SlabPlan, progress: Callable[[float], None]
    ) -> tuple[Float32, Float32]:
        batch = source[np.newaxis]
        one = (1, 1, *source.shape[1:])
        if plan.is_whole:
            whole = self._whole_session()
            with self._pace.run(batch.size, progress) as report:
                target, scale = whole.run({SOURCE: batch}, [TARGET, SCALE], report)
            check_shape(target, one, TARGET)
            check_shape(scale, one, SCALE)
            progress(1.0)
            return target[0, 0], scale[0, 0]
        target, scale = (np.empty(source.shape[1:], np.float32) for _ in range(2))
        if self._model.has_context:
            low, high = self._half_sessions()
            (context,) = low.run({SOURCE: batch}, [CONTEXT])
            quarter = tuple(side // STEP for side in source.shape[1:])
            check_shape(context, (1, context.shape[1], *quarter), CONTEXT)
        else:
            high = self._whole_session()
        for done, slab in enumerate(plan, start=1):
            window = slice(slab.first, slab.last)
            inputs = {SOURCE: np.ascontiguousarray(batch[:, :, window])}
            if self._model.has_context:
                low_window = slice(slab.first // STEP, slab.last // STEP)
                inputs[CONTEXT] = np.ascontiguousarray(context[:, :, low_window])
            within = _from((done - 1) / plan.count, 1 / plan.count, progress)
            with self._pace.run(inputs[SOURCE].size, within) as report:
                results = high.run(inputs, [TARGET, SCALE], report)
            expected = (*one[:2], slab.last - slab.first, *one[3:])
            for name, volume, result in zip((TARGET, SCALE), (target, scale), results, strict=True):
                check_shape(result, expected, name)
                volume[slab.start : slab.stop] = result[0, 0, slab.inside]
            progress(done / plan.count)
        return target, scale

    def _whole_session(self) -> Session:
        if self._whole is None:
            self._whole = Session(self._model.content, self._device, self._threads)
        return self._whole

    def _half_sessions(self) -> tuple[Session, Session]:
        if self._halves is None:
            low, high = cut_at_context(self._model.proto())
            self._halves = (
                Session(low, self._device, self._threads),
                Session(high, self._device, self._threads),
            )
        return self._halves


def _from(start: float, part: float, progress: Callable[[float], None]) -> Callable[[float], None]:
    """Progress within a part of the whole."""
    return lambda share: progress(start + part * share)


def cut_at_context(proto: ModelProto) -> tuple[bytes, bytes]:
    """Split a generator at `context`, its low-resolution features A.

    Returns:
        Two serialised models: source → context, and (source, context) → (target, scale).
    """
    from onnx.utils import Extractor

    # Inferred shapes of the whole graph tie D, H, W of `source` to those of `context`; in the
    # halves the two come apart.
    del proto.graph.value_info[:]
    extractor = Extractor(proto)
    low = extractor.extract_model([SOURCE], [CONTEXT])
    high = extractor.extract_model([SOURCE, CONTEXT], [TARGET, SCALE])
    return low.SerializeToString(), high.SerializeToString()
