"""What a cohort's paths must lead to: checked before anything slow is imported for them."""

from pathlib import Path

from hagan_clinic.errors import InputError


def cohort_path(path: Path | str) -> Path:
    """A cohort's folder or CSV file.

    Raises:
        InputError: None is given, or it is neither.
    """
    if not str(path):
        raise InputError("no data: give a folder or a CSV file of the cohort with --data")
    path = Path(path)
    if not path.is_dir() and not is_table(path):
        raise InputError(f"{path} is neither a folder nor a .csv file; give one of these as data")
    return path


def is_table(path: Path) -> bool:
    """Whether a cohort's path is a CSV file."""
    return path.is_file() and path.suffix.lower() == ".csv"


def mask_path(path: Path | str) -> Path:
    """The brain mask of all subjects.

    Raises:
        InputError: There is no such file.
    """
    if not Path(path).is_file():
        raise InputError(f"the brain mask {path} does not exist")
    return Path(path)


def split_path(path: Path | str) -> Path:
    """The CSV file of a split.

    Raises:
        InputError: There is no such file.
    """
    if not Path(path).is_file():
        raise InputError(f"the split file {path} does not exist")
    return Path(path)
