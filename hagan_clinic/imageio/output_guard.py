"""What would stop the writing of a file, found out before the work that makes it."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from hagan_clinic.errors import OutputError
from hagan_clinic.imageio.atomic import reason_of
from hagan_clinic.imageio.formats import SUFFIXES, suffix_of


def check_output(
    path: Path, inputs: Iterable[Path] = (), *, overwrite: bool, suffixes: Sequence[str] = ()
) -> None:
    """Refuse a path at which a result could not be written, or would destroy something.

    Args:
        path: Where a file is to be written, or a folder of files.
        inputs: Files that are read, which must stay.
        overwrite: Whether a file there may be replaced.
        suffixes: Those that the file may have; any if there are none.

    Raises:
        OutputError: The suffix is another, the folder is missing or cannot be written, the path is
            an input under this or another name, or a file is there that may not be replaced.
    """
    if suffixes and suffix_of(path) not in suffixes:
        found = suffix_of(path) or "no suffix"
        raise OutputError(f"{path}: has {found}, expected {' or '.join(suffixes)}")
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error
    check_folder(path.parent, path)
    for read in inputs:
        if _is_same_file(path, read):
            # A DICOM file's name may be a patient's.
            named = f" {read}" if suffix_of(read) in (*SUFFIXES, ".json") else ""
            raise OutputError(
                f"{path}: this output is the input{named}; expected another path, as it would be "
                "lost"
            )
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; choose another path or --overwrite")


def check_folder(folder: Path, path: Path) -> None:
    """Refuse a folder for `path` that is missing or cannot be written.

    Raises:
        OutputError: As it says.
    """
    if not folder.is_dir():
        raise OutputError(f"{path}: the folder {folder} does not exist; create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"{path}: the folder {folder} cannot be written; choose another or change its "
            "permissions"
        )


def _is_same_file(first: Path, second: Path) -> bool:
    """Whether both paths lead to one file, by links of either kind too."""
    try:
        return first.samefile(second)
    except OSError:
        return first.resolve() == second.resolve()
