"""Files of a subject in a folder that some tool filled: those whose names begin with its name."""

from pathlib import Path

from hagan_clinic.imageio import is_volume_name


def files_of(folder: Path, subject: str) -> list[Path]:
    """The volume files of a folder whose names begin with a subject's, sorted.

    What follows the subject's name begins with no letter and no number: `p1.nii.gz` and
    `p1_flair.nii.gz` are of `p1`, and `p12.nii.gz` is not.
    """
    return [
        path
        for path in sorted(folder.iterdir())
        if path.name.startswith(subject)
        and is_volume_name(path)
        and not path.name[len(subject) :][:1].isalnum()
    ]
