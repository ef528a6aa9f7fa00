"""What the node needs of POSIX, file locks; where there are none its commands say so."""

from hagan_clinic.errors import DeviceError

try:
    import fcntl
except ModuleNotFoundError as error:
    raise DeviceError(
        "the DICOM node runs on Linux and macOS, and this system has no POSIX file locks: use its "
        "container, or Windows Subsystem for Linux"
    ) from error

__all__ = ["fcntl"]
