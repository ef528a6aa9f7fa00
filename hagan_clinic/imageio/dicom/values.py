"""Values of a header that may be missing or malformed."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.multival import MultiValue


def text(header: Dataset, keyword: str) -> str:
    """A value as text, the parts of a list joined by backslashes; empty if it cannot be read."""
    value = _value(header, keyword)
    parts = value if isinstance(value, MultiValue) else [value]
    return "\\".join("" if part is None else str(part).strip() for part in parts)


def words(header: Dataset, keyword: str) -> tuple[str, ...]:
    """The parts of a list of code strings, in capitals."""
    values = text(header, keyword).upper()
    return tuple(values.split("\\")) if values else ()


def number(header: Dataset, keyword: str) -> float | None:
    """One finite number, the first if there are several; None if there is none."""
    value = _value(header, keyword)
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def numbers(header: Dataset, keyword: str, count: int) -> NDArray[np.float64] | None:
    """`count` finite numbers, or None."""
    value = _value(header, keyword)
    try:
        found = np.array([float(part) for part in value], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found.shape == (count,) and bool(np.isfinite(found).all()) else None


def items(header: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none if it is missing or cannot be read."""
    value = _value(header, keyword)
    try:
        return [item for item in value if isinstance(item, Dataset)]
    except TypeError:
        return []


def _value(header: Dataset, keyword: str) -> Any:
    """A value, or None; pydicom parses it here, and raises whatever a malformed one makes it."""
    try:
        return header.get(keyword)
    except MemoryError:
        raise
    except Exception:
        return None
