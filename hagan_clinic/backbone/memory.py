"""Out of memory, however torch reports it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hagan_clinic.errors import DeviceError


@contextmanager
def memory_explained(message: str) -> Iterator[None]:
    """Turn whatever running out of memory raises in the block into a DeviceError.

    Raises:
        DeviceError: Memory ran out; with the message.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise DeviceError(message) from error
    except RuntimeError as error:
        # What torch raises on the CPU.
        if "not enough memory" in str(error) or "can't allocate memory" in str(error):
            raise DeviceError(message) from error
        raise
