import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from hagan_clinic.errors import DeviceError, ModelError
from hagan_clinic.runtime.providers import Device
from hagan_clinic.runtime.session import Session, usable_cpus

CPU = Device("cpu", "cpu")


def test_content_that_is_no_model_is_refused():
    with pytest.raises(ModelError, match=r"ONNX Runtime .* cannot load the model on cpu"):
        Session(b"no model", CPU)


def test_session_that_fell_back_to_the_cpu_is_an_error(toy_generator, monkeypatch):
    # The way it falls back on a machine without a GPU: silently.
    monkeypatch.setattr(Device, "providers", property(lambda self: ["CPUExecutionProvider"]))
    with pytest.raises(
        DeviceError, match="asked for CUDAExecutionProvider, and the session runs on"
    ):
        Session(toy_generator.read_bytes(), Device("cuda", "cuda"))


def test_session_keeps_no_arena(toy_generator):
    session = Session(toy_generator.read_bytes(), CPU, threads=1)
    options = session._session.get_session_options()
    assert not options.enable_cpu_mem_arena
    assert not options.enable_mem_pattern
    assert options.intra_op_num_threads == 1


def test_failed_allocation_tells_what_every_command_can_do(toy_generator, monkeypatch):
    session = Session(toy_generator.read_bytes(), CPU, threads=1)

    class Exhausted:
        def run(self, outputs, inputs, options):
            raise RuntimeError("Failed to allocate memory for requested buffer of size 9999999999")

    monkeypatch.setattr(session, "_session", Exhausted())
    advice = r"memory ran out in the network .*; free some, or .* --max-memory where the command"
    with pytest.raises(DeviceError, match=advice):
        session.run({"source": np.zeros((1, 1, 16, 16, 16), np.float32)}, ["target"])


def chain(length):
    """A session of so many tanh in a row, on any vector; names of its input and output."""
    names = [f"value{n}" for n in range(length + 1)]
    nodes = [helper.make_node("Tanh", [one], [other]) for one, other in pairwise(names)]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"])
        for name in (names[0], names[-1])
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return Session(model.SerializeToString(), CPU, threads=1), names[0], names[-1]


def test_interrupt_stops_a_running_network():
    """Ctrl-C in the middle of a run; a hundredth of it, timed just before, tells its length."""
    vector = np.ones(2 * 10**7, np.float32)
    short, first, last = chain(30)
    start = time.monotonic()
    short.run({first: vector}, [last])
    whole = 100 * (time.monotonic() - start)
    session, first, last = chain(3000)
    main = threading.main_thread().ident
    threading.Timer(whole / 50, signal.pthread_kill, [main, signal.SIGINT]).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        session.run({first: vector}, [last])
    assert time.monotonic() - start < whole / 2


def test_at_least_one_core_is_usable():
    assert usable_cpus() >= 1


def test_runtime_prints_nothing_of_its_own(toy_generator, capfd):
    session = Session(toy_generator.read_bytes(), CPU, threads=1)
    with pytest.raises(ModelError):
        session.run({"source": np.zeros((1, 2, 16, 16, 16), np.float32)}, ["target"])
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


_PEAKS = """
import sys
import numpy as np
from hagan_clinic.runtime import memory
from hagan_clinic.runtime.model_file import load_model
from hagan_clinic.runtime.providers import choose_device
from hagan_clinic.runtime.session import Session

session = Session(load_model(sys.argv[1]).content, choose_device("cpu"), threads=1)
held = memory.resident()
for depth in (96, 64, 80, 48, 96, 80, 64):
    session.run({"source": np.zeros((1, 1, depth, 96, 96), np.float32)}, ["target", "scale"])
    print(memory.peak() - held)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system tells no peak")
def test_windows_of_other_sizes_take_no_more_than_the_largest(toy_generator):
    command = [sys.executable, "-c", _PEAKS, str(toy_generator)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    largest, *_, last = map(int, done.stdout.split())
    assert last < 1.2 * largest
