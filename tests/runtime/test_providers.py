from importlib import metadata

import pytest

from hagan_clinic.errors import DeviceError
from hagan_clinic.runtime import providers


@pytest.fixture
def installed(monkeypatch):
    """Pretend that these ONNX Runtime packages are installed."""

    def pretend(*names):
        def version(name):
            if name not in names:
                raise metadata.PackageNotFoundError(name)
            return "1.31.1"

        monkeypatch.setattr(providers.metadata, "version", version)

    return pretend


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(providers, "_driver", lambda: None)


def test_auto_without_a_driver_runs_on_the_cpu_without_a_word(no_gpu):
    """Nothing is wrong with a machine that has no GPU."""
    device = providers.choose_device("auto")
    assert (device.name, device.note) == ("cpu", "")


def test_auto_with_a_driver_and_no_gpu_says_that_it_runs_on_the_cpu(monkeypatch):
    monkeypatch.setattr(providers, "_driver", lambda: _Driver(0))
    monkeypatch.setattr(providers, "_missing_provider", lambda *_: None)
    device = providers.choose_device("auto")
    assert device.name == "cpu"
    assert "CUDA cannot be used: the NVIDIA driver finds no GPU" in device.note


def test_cuda_asked_for_and_not_to_be_had_is_an_error(no_gpu):
    with pytest.raises(
        DeviceError, match="--device cuda cannot be used: no NVIDIA driver"
    ) as error:
        providers.choose_device("cuda")
    assert error.value.exit_code == 5


def test_package_without_the_provider_is_named(installed, monkeypatch):
    installed("onnxruntime")
    monkeypatch.setattr(
        providers.runtime(), "get_available_providers", lambda: ["CPUExecutionProvider"]
    )
    with pytest.raises(DeviceError, match=r"\(onnxruntime 1\.31\.1\) has no CUDAExecutionProvider"):
        providers.choose_device("cuda")


class _Driver:
    """A driver that finds so many GPUs."""

    def __init__(self, count):
        self._count = count

    def cuInit(self, flags):
        return 0

    def cuDeviceGetCount(self, pointer):
        pointer._obj.value = self._count
        return 0

    def cuDeviceTotalMem_v2(self, pointer, device):
        pointer._obj.value = 8 * 2**30
        return 0


def test_driver_without_a_gpu_is_named(monkeypatch):
    monkeypatch.setattr(providers, "_driver", lambda: _Driver(0))
    with pytest.raises(DeviceError, match="the NVIDIA driver finds no GPU"):
        providers.choose_device("cuda")


def test_missing_libraries_are_named_by_the_loader_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(providers, "_driver", lambda: _Driver(1))

    def missing(path):
        raise OSError("libcublasLt.so.13: cannot open shared object file")

    monkeypatch.setattr(providers.ctypes, "CDLL", missing)
    with pytest.raises(DeviceError, match=r"libcublasLt\.so\.13.*pip install 'onnxruntime-gpu\["):
        providers.choose_device("cuda")
    assert capsys.readouterr().out == ""


def test_session_that_falls_back_is_not_taken_for_cuda(monkeypatch):
    for step in ("_missing_provider", "_missing_libraries"):
        monkeypatch.setattr(providers, step, lambda *_: None)
    monkeypatch.setattr(providers, "_missing_gpu", lambda: None)
    # No GPU is here, so ONNX Runtime itself falls back without a word.
    with pytest.raises(DeviceError, match="did not start CUDAExecutionProvider"):
        providers.choose_device("cuda")


@pytest.mark.parametrize("requested", ["auto", "cpu", "cuda"])
def test_two_onnxruntime_packages_are_an_error_on_every_device(installed, no_gpu, requested):
    installed("onnxruntime", "onnxruntime-gpu")
    with pytest.raises(DeviceError, match=r"both onnxruntime and onnxruntime-gpu .*pip uninstall"):
        providers.choose_device(requested)


def test_tf32_and_its_search_are_off_until_they_are_asked_for():
    exact, quick = (
        dict(providers.Device("cuda", "cuda", tf32=on).providers) for on in (False, True)
    )
    assert exact[providers.CUDA] == {"use_tf32": 0, "cudnn_conv_algo_search": "HEURISTIC"}
    assert quick[providers.CUDA] == {"use_tf32": 1, "cudnn_conv_algo_search": "EXHAUSTIVE"}
    assert exact[providers.CPU] == quick[providers.CPU] == {}


def test_tf32_changes_nothing_on_a_cpu_that_auto_takes(no_gpu):
    assert not providers.choose_device("auto", tf32=True).tf32


@pytest.mark.parametrize("requested", ["cpu", "tensorrt"])
def test_tf32_is_refused_on_what_has_no_such_switch(requested):
    with pytest.raises(DeviceError, match=f"--tf32 is for CUDA, and --device is {requested}"):
        providers.choose_device(requested, tf32=True)


def test_unknown_device_is_refused():
    with pytest.raises(DeviceError, match="'gpu', expected one of auto, cpu, cuda, tensorrt"):
        providers.choose_device("gpu")


def test_cpu_has_no_obstacle():
    assert providers.obstacle("cpu") is None


def test_gpu_memory_is_that_of_the_driver(monkeypatch):
    monkeypatch.setattr(providers, "_driver", lambda: _Driver(1))
    assert providers.gpu_memory() == 8 * 2**30
    monkeypatch.setattr(providers, "_driver", lambda: None)
    assert providers.gpu_memory() is None


@pytest.mark.gpu
@pytest.mark.parametrize("requested", ["auto", "cuda"])
def test_cuda_runs_where_there_is_a_gpu(requested):
    assert providers.choose_device(requested).name == "cuda"
