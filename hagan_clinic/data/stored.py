"""Arrays of bytes as they lie on the disk, opened by memory map: only what is used is read."""

import threading
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_ONE_HEADER_AT_A_TIME = threading.Lock()
"""NumPy reads a header as a Python literal, and Python 3.11 now and then fails with "AST
constructor recursion depth mismatch" where several threads do so (python/cpython#106905)."""


def opened(file: Path, mode: Literal["r", "c"] = "r") -> NDArray[Any]:
    """The array of a .npy file, from any thread.

    Args:
        file: As `numpy.save` wrote it.
        mode: `r` to read; `c` where PyTorch, which knows no read-only memory, takes it over.

    Raises:
        OSError: There is no such file.
        ValueError: It is no such file, or holds less than it should.
        EOFError: It is empty.
    """
    with _ONE_HEADER_AT_A_TIME:
        array: NDArray[Any] = np.load(file, mmap_mode=mode)
    return array
