"""Sessions of ONNX Runtime that hold what they promise."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import DeviceError, ModelError
from hagan_clinic.runtime.memory import map_large_blocks
from hagan_clinic.runtime.providers import Device, runtime

Float32 = NDArray[np.float32]


LONGEST_RUN = 3600.0
"""Seconds after which a network is stopped: many times what the slowest machine takes for one."""

_LOOK = 0.2
"""Seconds between looks at a network that runs; Windows hears of Ctrl-C only then."""


class Session:
    """One network on one device.

    Args:
        content: A serialised ONNX model.
        device: From `choose_device`.
        threads: CPU threads; all usable cores if not given.

    Raises:
        DeviceError: The device's provider is not active in the session.
        ModelError: ONNX Runtime refuses the model.
    """

    def __init__(self, content: bytes, device: Device, threads: int | None = None) -> None:
        ort = runtime()
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads or usable_cpus()
        # The arena keeps every block it ever had: quicker by a sixth, and twice the memory as soon
        # as windows differ in size.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        map_large_blocks()
        try:
            self._session = ort.InferenceSession(
                content, options, providers=device.providers, enable_fallback=0
            )
        except Exception as error:  # ONNX Runtime raises its own and RuntimeError alike
            raise ModelError(
                f"ONNX Runtime {ort.__version__} cannot load the model on {device.name} "
                f"({_first_line(error)})"
            ) from error
        self.providers: list[str] = self._session.get_providers()
        if device.provider not in self.providers:
            raise DeviceError(
                f"asked for {device.provider}, and the session runs on "
                f"{', '.join(self.providers)}; `hagan-clinic doctor` says why"
            )

    def run(
        self,
        inputs: dict[str, Float32],
        outputs: list[str],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> list[Float32]:
        """The named outputs for the named inputs; `meanwhile` is called a few times a second.

        Raises:
            DeviceError: Memory did not suffice.
            ModelError: The network failed, or gave NaN or infinite values.
        """
        try:
            results = self._run(inputs, outputs, meanwhile)
        except ModelError:
            raise
        except Exception as error:  # as above
            if "alloc" in str(error).lower() or "out of memory" in str(error).lower():
                raise DeviceError(
                    f"memory ran out in the network ({_first_line(error)}); "
                    "free some, or give a smaller --max-memory where the command has it"
                ) from error
            raise ModelError(f"the network failed ({_first_line(error)})") from error
        for name, result in zip(outputs, results, strict=True):
            if not np.isfinite(result).all():
                raise ModelError(
                    f"the network gave NaN or infinite values in {name!r}, expected finite ones: "
                    "its weights are damaged, or it overflows in half precision"
                )
        return results

    def _run(
        self, inputs: dict[str, Float32], outputs: list[str], meanwhile: Callable[[], None]
    ) -> list[Any]:
        """Run in another thread, so that this one hears of Ctrl-C and can stop the network."""
        options = runtime().RunOptions()
        with ThreadPoolExecutor(max_workers=1) as executor:
            running = executor.submit(self._session.run, outputs, inputs, options)
            try:
                last = time.monotonic() + LONGEST_RUN
                while not wait([running], min(_LOOK, LONGEST_RUN)).done:
                    if time.monotonic() > last:
                        raise ModelError(
                            f"the network was not done after {LONGEST_RUN:g} s and was stopped; "
                            "give a smaller --max-memory, more --threads, or another model"
                        )
                    meanwhile()
                results: list[Any] = running.result()
            except BaseException:
                options.terminate = True
                raise
        return results


def check_shape(result: Float32, expected: tuple[int, ...], name: str) -> None:
    """Refuse a result of another shape than the network promises.

    Raises:
        ModelError: It has one.
    """
    if result.shape != expected:
        raise ModelError(
            f"the network gave {name!r} of shape {result.shape}, expected {expected}: it is "
            "damaged, or was not made for such input"
        )


def check_varies(volume: Float32, name: str) -> None:
    """Refuse a whole volume without anything in it.

    Raises:
        ModelError: All its values are the same.
    """
    if volume.size > 1 and volume.min() == volume.max():
        raise ModelError(
            f"the network gave {float(volume.flat[0]):g} everywhere in {name!r}, expected an "
            "image: its weights are damaged"
        )


def usable_cpus() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
