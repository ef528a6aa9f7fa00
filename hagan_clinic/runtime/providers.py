"""What the network can run on here, and what stands in the way of the rest."""

from __future__ import annotations

import ctypes
import io
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hagan_clinic.errors import DeviceError

if TYPE_CHECKING:
    import onnxruntime

DEVICES = ("auto", "cpu", "cuda", "tensorrt")

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
PROVIDERS = {"cpu": CPU, "cuda": CUDA, "tensorrt": TENSORRT}

_OPTIONS: dict[str, dict[str, Any]] = {
    # float32 as on the CPU, not TensorFloat-32, whose errors of 1e-3 differ from slab to slab;
    # heuristic choice of algorithms, as an exhaustive search costs seconds for every new shape.
    CUDA: {"use_tf32": 0, "cudnn_conv_algo_search": "HEURISTIC"},
    TENSORRT: {"trt_fp16_enable": False},
    CPU: {},
}
# What ONNX Runtime does by itself.
_TF32 = {"use_tf32": 1, "cudnn_conv_algo_search": "EXHAUSTIVE"}
_BEFORE = {"cpu": (CPU,), "cuda": (CUDA, CPU), "tensorrt": (TENSORRT, CUDA, CPU)}
_SILENT = 4  # ONNX Runtime's severity "fatal": what is worth saying, we say


@dataclass(frozen=True)
class Device:
    """A device that was found to run.

    Attributes:
        requested: What was asked for: `auto`, `cpu`, `cuda` or `tensorrt`.
        name: What runs: `cpu`, `cuda` or `tensorrt`.
        note: Why `auto` did not take the GPU that there seems to be; else empty.
        tf32: Whether CUDA may use TensorFloat-32.
    """

    requested: str
    name: str
    note: str = ""
    tf32: bool = False

    @property
    def provider(self) -> str:
        """The execution provider that must be active in a session."""
        return PROVIDERS[self.name]

    @property
    def providers(self) -> list[tuple[str, dict[str, Any]]]:
        """Providers with their options, in the order a session tries them."""
        chosen = {**_OPTIONS, CUDA: _TF32} if self.tf32 else _OPTIONS
        return [(provider, chosen[provider]) for provider in _BEFORE[self.name]]


def choose_device(requested: str = "auto", *, tf32: bool = False) -> Device:
    """The device to run on; a GPU is tried by really starting a session on it.

    Args:
        requested: `auto` takes CUDA where it starts and else the CPU, with a note that says why
            where there is an NVIDIA driver: a machine without one was not meant to run on a GPU.
        tf32: Let CUDA use TensorFloat-32, and search for the quickest convolutions; it changes
            nothing where `auto` takes the CPU.

    Raises:
        DeviceError: The device is unknown, has no such switch, or was asked for explicitly and
            cannot be had; or two packages of ONNX Runtime have written over each other, whatever
            the device.
    """
    if requested not in DEVICES:
        raise DeviceError(f"unknown device {requested!r}, expected one of {', '.join(DEVICES)}")
    if tf32 and requested not in ("auto", "cuda"):
        raise DeviceError(
            f"--tf32 is for CUDA, and --device is {requested}; leave it out, or give --device cuda"
        )
    if clash := two_packages():
        raise DeviceError(clash)
    if requested == "cpu":
        return Device(requested, "cpu")
    name = "cuda" if requested == "auto" else requested
    reason = obstacle(name)
    if reason is None:
        return Device(requested, name, tf32=tf32)
    if requested == "auto":
        note = f"running on the CPU, as CUDA cannot be used: {reason}"
        return Device(requested, "cpu", note if _driver() else "")
    raise DeviceError(
        f"--device {requested} cannot be used: {reason} "
        "(`--device auto` or `--device cpu` runs without it)"
    )


def two_packages() -> str | None:
    """A sentence if both onnxruntime and onnxruntime-gpu are installed: the CPU one then wins."""
    found = runtime_packages()
    if {"onnxruntime", "onnxruntime-gpu"} <= found.keys():
        return (
            "both onnxruntime and onnxruntime-gpu are installed, and the CPU-only one hides the "
            "other; run `pip uninstall -y onnxruntime onnxruntime-gpu` and then "
            "`pip install onnxruntime-gpu`"
        )
    return None


def runtime_packages() -> dict[str, str]:
    """Version of every installed ONNX Runtime package, by its name."""
    found = {}
    for name in ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def obstacle(name: str) -> str | None:
    """Why a device cannot run here and what to do about it; None if a session starts on it."""
    ort = runtime()
    provider = PROVIDERS[name]
    if name != "cpu":
        reason = two_packages() or _missing_provider(ort, provider) or _missing_gpu()
        reason = reason or _missing_libraries(ort, name)
        if reason:
            return reason
    started = _start_tiny_session(ort, Device(name, name))
    if started is None:
        return None
    return f"ONNX Runtime did not start {provider} ({started})"


@cache
def runtime() -> Any:
    """The onnxruntime module, imported at first use and silenced.

    Raises:
        DeviceError: It is not installed or does not load.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise DeviceError(
            f"onnxruntime cannot be imported ({error}); "
            "run `pip install --force-reinstall hagan-clinic`"
        ) from error
    ort.set_default_logger_severity(_SILENT)
    return ort


def _missing_provider(ort: Any, provider: str) -> str | None:
    if provider in ort.get_available_providers():
        return None
    installed = ", ".join(f"{name} {version}" for name, version in runtime_packages().items())
    return (
        f"the installed ONNX Runtime ({installed or ort.__version__}) has no {provider}; "
        "`pip install onnxruntime-gpu` brings it on Linux and Windows x86-64"
    )


def gpu_memory() -> int | None:
    """Bytes of memory of the GPU that CUDA uses; None without one."""
    driver = _driver()
    size = ctypes.c_size_t(0)
    if driver is None or driver.cuInit(0) or driver.cuDeviceTotalMem_v2(ctypes.byref(size), 0):
        return None
    return size.value


def _missing_gpu() -> str | None:
    """Whether the driver finds a GPU, asked of the driver itself."""
    driver = _driver()
    if driver is None:
        return "no NVIDIA driver was found; install it, and start a container with `--gpus all`"
    count = ctypes.c_int(0)
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if status != 0 or count.value == 0:
        return (
            f"the NVIDIA driver finds no GPU (status {status}); see `nvidia-smi` and "
            "CUDA_VISIBLE_DEVICES"
        )
    return None


def _driver() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None


def _missing_libraries(ort: Any, name: str) -> str | None:
    """Whether the provider's own library loads; the loader names what it lacks."""
    if sys.platform != "linux":
        return None
    with redirect_stdout(io.StringIO()):  # it prints each library that it does not find
        ort.preload_dlls()
    folder = Path(ort.__file__).parent / "capi"
    try:
        ctypes.CDLL(str(folder / f"libonnxruntime_providers_{name}.so"))
    except OSError as error:
        remedy = (
            "`pip install 'onnxruntime-gpu[cuda,cudnn]'` brings the CUDA libraries"
            if name == "cuda"
            else "install NVIDIA TensorRT and put its libraries on LD_LIBRARY_PATH"
        )
        return f"a library is missing ({error}); {remedy}"
    return None


def _start_tiny_session(ort: Any, device: Device) -> str | None:
    """Start a session that copies one number; None if the device runs it, else what happened."""
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "probe", [value], [result])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    ).SerializeToString()
    try:
        session: onnxruntime.InferenceSession = ort.InferenceSession(
            model, providers=device.providers, enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime raises its own and RuntimeError alike
        return str(error).splitlines()[0]
    if device.provider not in session.get_providers():
        return f"it fell back to {', '.join(session.get_providers())}"
    return None
