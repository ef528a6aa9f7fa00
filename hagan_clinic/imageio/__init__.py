"""Reading and writing volumes: NIfTI, FreeSurfer .mgz, NRRD and MetaImage."""

from hagan_clinic.imageio.atomic import atomic_path, write_bytes, write_text
from hagan_clinic.imageio.formats import (
    DESCRIPTION,
    SUFFIXES,
    read,
    read_grid,
    suffix_of,
    write,
)

__all__ = [
    "DESCRIPTION",
    "SUFFIXES",
    "atomic_path",
    "read",
    "read_grid",
    "suffix_of",
    "write",
    "write_bytes",
    "write_text",
]
