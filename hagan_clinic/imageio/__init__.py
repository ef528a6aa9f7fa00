"""Reading and writing volumes: NIfTI, FreeSurfer .mgz, NRRD and MetaImage."""

from hagan_clinic.imageio.atomic import (
    atomic_folder,
    atomic_path,
    flush_folder,
    reason_of,
    remove_leftovers,
    write_bytes,
    write_text,
)
from hagan_clinic.imageio.formats import (
    DESCRIPTION,
    SUFFIXES,
    VolumeFile,
    is_volume_name,
    read,
    read_description,
    read_file,
    read_grid,
    suffix_of,
    write,
)

__all__ = [
    "DESCRIPTION",
    "SUFFIXES",
    "VolumeFile",
    "atomic_folder",
    "atomic_path",
    "flush_folder",
    "is_volume_name",
    "read",
    "read_description",
    "read_file",
    "read_grid",
    "reason_of",
    "remove_leftovers",
    "suffix_of",
    "write",
    "write_bytes",
    "write_text",
]
