"""Memory: sizes as people write them, what is available, what this process holds."""

from __future__ import annotations

import ctypes
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from hagan_clinic.errors import InputError

MIB = 2**20
_UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
_M_MMAP_THRESHOLD = -3  # malloc.h
_FALLBACK = 4 * 2**30  # where the system does not tell what is available


def parse_size(text: str | int) -> int:
    """Bytes from `1GiB`, `800 MB`, `1.5gib` or a plain number of bytes.

    Raises:
        InputError: It is not a positive size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", str(text))
    unit = match and _UNITS.get(match[2].upper())
    if not match or not unit or float(match[1]) == 0:
        raise InputError(
            f"{text!r} is not an amount of memory; expected a number with KiB, MiB, GiB, MB or GB, "
            "such as 1GiB"
        )
    return int(float(match[1]) * unit)


def size_text(size: float) -> str:
    """A size as people read it: `512 MiB`, `1.4 GiB`."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / MIB:.0f} MiB"


def available() -> int:
    """Bytes that this process may still take: free memory of the machine or of its container."""
    return max(min([_available_on_machine(), *_cgroup_headrooms()]), 0)


def resident() -> int:
    """Bytes that this process holds now; 0 where the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak() -> int | None:
    """Largest number of bytes this process ever held; None if the system does not report it."""
    try:
        # Not getrusage, in which Linux counts what the parent held before it started this program.
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: in bytes


def give_back() -> None:
    """Return freed memory to the system where the C library keeps it for later, as glibc does."""
    with suppress(OSError, AttributeError, TypeError):  # another C library, another system
        ctypes.CDLL(None).malloc_trim(0)


def map_large_blocks() -> None:
    """Let freed blocks of 1 MiB and more go back to the system at once, where glibc holds them.

    By itself glibc raises this size to 32 MiB as such blocks are freed; what slabs of different
    sizes leave behind then stays in pieces, up to as much as the network takes.
    """
    with suppress(OSError, AttributeError, TypeError):  # another C library, another system
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, MIB)


def _available_on_machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        kibibytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        return int(kibibytes) * 1024
    except (OSError, StopIteration):
        pass
    if (free := _available_on_windows()) is not None:
        return free
    try:
        # Elsewhere only the total is known; half of it is a guess at what is free.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return _FALLBACK


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of sysinfoapi.h."""

    _fields_: ClassVar = [
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        *((name, ctypes.c_uint64) for name in ("total", "available", "total_page_file")),
        *((name, ctypes.c_uint64) for name in ("available_page_file", "total_virtual")),
        *((name, ctypes.c_uint64) for name in ("available_virtual", "available_extended")),
    ]


def _available_on_windows() -> int | None:
    system = getattr(ctypes, "windll", None)
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    if system is None or not system.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return int(status.available)


def _cgroup_headrooms(root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """What each control group above this process still allows (versions 1 and 2)."""
    folders = {root, root / "memory"}
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            group = root / controllers / path.lstrip("/")
            folders.update(folder for folder in (group, *group.parents) if root in folder.parents)
    headrooms = (_cgroup_headroom(folder) for folder in folders)
    return [headroom for headroom in headrooms if headroom is not None]


def _cgroup_headroom(folder: Path) -> int | None:
    """Limit less usage of one group; None without a limit. Cached files do not count as used."""
    for limit, usage, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most, used = (int((folder / name).read_text("ascii")) for name in (limit, usage))
            lines = (folder / "memory.stat").read_text("ascii").splitlines()
        except (OSError, ValueError):  # no such file, or the limit is "max"
            continue
        reclaimable = (line.split()[1] for line in lines if line.split()[0] == cached)
        return most - used + int(next(reclaimable, "0"))
    return None
