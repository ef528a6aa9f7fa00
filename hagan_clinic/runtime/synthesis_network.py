"""Generator and encoder of an unconditional model in ONNX Runtime, a slab at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import DeviceError
from hagan_clinic.runtime import memory
from hagan_clinic.runtime.model_file import ModelFile
from hagan_clinic.runtime.model_interface import CONTEXT, FEATURES, IMAGE, LATENT, SLABS
from hagan_clinic.runtime.providers import Device, gpu_memory
from hagan_clinic.runtime.session import Session, check_shape, check_varies
from hagan_clinic.runtime.slabs import STEP, MemoryModel, SlabPlan, plan_slabs

if TYPE_CHECKING:
    from onnx import ModelProto

Float32 = NDArray[np.float32]

_SHARE_OF_AVAILABLE = 0.7
# The file, the parsed graph, and the sessions' own copy.
_WEIGHT_COPIES = 4
# For each voxel of a volume: the volume (4 bytes), and at a quarter of the resolution context (64
# channels) and the widest tensors of G^A that make it.
_KEPT_BYTES = 4 + 16


class OnnxGenerator:
    """G in ONNX Runtime: whole where memory allows, else G^H slab by slab with its halo.

    A file without `context` makes the volume whole.

    Args:
        model: A verified file of the kind `generator`.
        device: From `choose_device`.
        max_memory: Limit on what the network takes, in bytes or as `1GiB`.
        threads: CPU threads; all usable cores if not given.
    """

    def __init__(
        self,
        model: ModelFile,
        device: Device,
        *,
        max_memory: str | int | None = None,
        threads: int | None = None,
    ) -> None:
        self._model = model
        self._device = device
        self._threads = threads
        self._limit = None if max_memory is None else memory.parse_size(max_memory)
        self._trunk: Session | None = None
        self._head: Session | None = None

    def image(self, latent: Float32, plan: SlabPlan | None = None) -> Float32:
        """A volume (D, H, W) in [-1, 1] of z with its one-hot label (1, latent + classes).

        Args:
            latent: One row.
            plan: How G^H is cut; by the memory there is, if not given. With norm `position` the
                result does not depend on it, to 1e-5.

        Raises:
            DeviceError: The limit does not suffice, or memory ran out.
            ModelError: The network failed, or gave values that are not finite, no image, or of
                another shape than its file says.
        """
        volume = self._image(latent, plan or self._plan())
        check_varies(volume, IMAGE)
        return volume

    def _image(self, latent: Float32, plan: SlabPlan) -> Float32:
        if not self._model.has_context:
            (whole,) = self._whole().run({LATENT: latent}, [IMAGE])
            check_shape(whole, (1, 1, *self._model.recipe.box), IMAGE)
            volume: Float32 = whole[0, 0]
            return volume
        trunk, head = self._sessions()
        (context,) = trunk.run({LATENT: latent}, [CONTEXT])
        image = np.empty(self._model.recipe.box, np.float32)
        for slab in plan:
            window = np.ascontiguousarray(context[:, :, slab.first // STEP : slab.last // STEP])
            (part,) = head.run({CONTEXT: window}, [IMAGE])
            check_shape(part, (1, 1, slab.last - slab.first, *image.shape[1:]), IMAGE)
            image[slab.start : slab.stop] = part[0, 0, slab.inside]
        return image

    def _plan(self) -> SlabPlan:
        d, h, w = self._model.recipe.box
        halo = self._model.recipe.halo
        needs = MemoryModel(
            voxel=self._model.activation_bytes,
            kept_voxel=_KEPT_BYTES,
            fixed=_WEIGHT_COPIES * len(self._model.content),
        )
        if halo == 0:
            # A layer looks at all of space: slabs would differ.
            whole = SlabPlan(d, d, halo)
            needed = needs.needed(whole, h * w)
            if self._limit is not None and needed > self._limit:
                cause = "this model's norm (group)" if self._model.has_context else "this model"
                raise DeviceError(
                    f"--max-memory gives the network {memory.size_text(self._limit)}, and a volume "
                    f"of {d}x{h}x{w} needs {memory.size_text(needed)}: {cause} makes it whole, in "
                    "no slabs; raise --max-memory, or leave it out"
                )
            return whole
        on_cpu = self._device.name == "cpu"
        free = memory.available() if on_cpu else gpu_memory() or memory.available()
        budget = self._limit or int(_SHARE_OF_AVAILABLE * free)
        return plan_slabs((d, h, w), halo, needs, budget)

    def _whole(self) -> Session:
        if self._trunk is None:
            self._trunk = Session(self._model.content, self._device, self._threads)
        return self._trunk

    def _sessions(self) -> tuple[Session, Session]:
        if self._trunk is None or self._head is None:
            trunk, head = cut_generator(self._model.proto())
            self._trunk = Session(trunk, self._device, self._threads)
            self._head = Session(head, self._device, self._threads)
        return self._trunk, self._head


class OnnxEncoder:
    """E in ONNX Runtime: E^H on one slab at a time, then E^G on what they gave.

    A file without `features` takes the volume whole.

    Args:
        model: A verified file of the kind `encoder`.
        device: From `choose_device`.
        threads: CPU threads; all usable cores if not given.
    """

    def __init__(self, model: ModelFile, device: Device, *, threads: int | None = None) -> None:
        self._whole: Session | None = None
        self._length = model.shapes[LATENT]
        if FEATURES not in model.shapes:
            self._whole = Session(model.content, device, threads)
            return
        slabs, latent = cut_encoder(model.proto())
        self._slab = Session(slabs, device, threads)
        self._latent = Session(latent, device, threads)
        self._features = model.shapes[FEATURES]
        self._thickness = model.shapes[SLABS][2]

    def latent(self, volume: Float32) -> Float32:
        """The z (latent,) of a volume (D, H, W) in [-1, 1]."""
        if self._whole is not None:
            (rows,) = self._whole.run({SLABS: volume[None, None]}, [LATENT])
            check_shape(rows, self._length, LATENT)
            latent: Float32 = rows[0]
            return latent
        features = np.empty(self._features, np.float32)
        for number, row in enumerate(features):
            start = number * self._thickness
            slab = volume[None, None, start : start + self._thickness]
            (found,) = self._slab.run({SLABS: slab}, [FEATURES])
            check_shape(found, (1, *row.shape), FEATURES)
            row[...] = found[0]
        (rows,) = self._latent.run({FEATURES: features}, [LATENT])
        check_shape(rows, self._length, LATENT)
        z: Float32 = rows[0]
        return z


def cut_generator(proto: ModelProto) -> tuple[bytes, bytes]:
    """Split a generator at `context`: latent -> context, and context of any depth -> image."""
    trunk, head = _cut(proto, LATENT, CONTEXT, IMAGE)
    _free(head, {CONTEXT: 2, IMAGE: 2}, "depth")
    return trunk.SerializeToString(), head.SerializeToString()


def cut_encoder(proto: ModelProto) -> tuple[bytes, bytes]:
    """Split an encoder at `features`: slabs, any number -> features, and all of them -> latent."""
    slabs, latent = _cut(proto, SLABS, FEATURES, LATENT)
    _free(slabs, {SLABS: 0, FEATURES: 0}, "slabs")
    return slabs.SerializeToString(), latent.SerializeToString()


def _cut(proto: ModelProto, first: str, middle: str, last: str) -> tuple[ModelProto, ModelProto]:
    from onnx.utils import Extractor

    # Inferred shapes are those of the whole graph.
    del proto.graph.value_info[:]
    extractor = Extractor(proto)
    return extractor.extract_model([first], [middle]), extractor.extract_model([middle], [last])


def _free(proto: ModelProto, axes: dict[str, int], word: str) -> None:
    """Let one axis of inputs and outputs be of any size; no operator depends on it."""
    for value in (*proto.graph.input, *proto.graph.output):
        dimension = value.type.tensor_type.shape.dim[axes[value.name]]
        dimension.dim_param = f"{word}_{value.name}"
