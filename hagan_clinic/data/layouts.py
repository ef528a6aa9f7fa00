"""The layouts of a cohort: BraTS-like folders, BIDS, and a CSV."""

import csv
import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from hagan_clinic.data.subject import Subject, patient_of
from hagan_clinic.errors import InputError, some

NAMES_OF = {
    "t1": ("t1", "t1n", "t1w"),
    "t1c": ("t1c", "t1ce", "t1gd"),
    "t2": ("t2", "t2w"),
    "flair": ("flair", "t2f"),
}
"""File name endings of a modality: BraTS to 2021, BraTS 2023, BIDS. Other names stand for
themselves, in lower case."""

MASK_ENDINGS = ("mask", "brainmask")
LESION_ENDINGS = ("seg", "lesion", "dseg")

_FILE = re.compile(r"(?:(?P<prefix>.+)[_-])?(?P<ending>[A-Za-z0-9]+)\.nii(?:\.gz)?", re.IGNORECASE)
# Of a BIDS dataset: what its raw data were made from, and by.
_NO_RAW_DATA = {"sourcedata", "code"}

_FOLDER_MASK = re.compile(r"(brain_?)?mask\.nii(\.gz)?", re.IGNORECASE)

FilesByEnding = dict[str, list[Path]]


@dataclass(frozen=True)
class Layout:
    """The volume files under a folder.

    Attributes:
        root: The folder.
        examinations: Name of an examination -> ending of a file's name -> files.
        is_bids: Whether it is a BIDS dataset.
        folder_masks: Folder -> the brain mask in it that bears no subject's name.
    """

    root: Path
    examinations: Mapping[str, FilesByEnding]
    is_bids: bool
    folder_masks: Mapping[Path, Path]

    def files(self, name: str, modality: str) -> list[Path]:
        """Every file of one sequence of an examination."""
        by_ending = self.examinations[name]
        return [file for ending in endings(modality) for file in by_ending.get(ending, [])]

    def single(self, name: str, modality: str) -> Path | None:
        """The file of one sequence of an examination, None where there is none.

        Raises:
            InputError: There are several.
        """
        return _single(name, modality, self.examinations[name], endings(modality))

    def mask(self, name: str, image: Path) -> Path | None:
        """The brain mask for an image of an examination: its own, its folder's, or that of all.

        Raises:
            InputError: The examination has several of its own.
        """
        own = _single(name, "mask", self.examinations[name], MASK_ENDINGS)
        return own or self.folder_masks.get(image.parent) or self.folder_masks.get(self.root)

    def lesion(self, name: str) -> Path | None:
        """The lesion label map of an examination.

        Raises:
            InputError: There are several.
        """
        return _single(name, "lesion", self.examinations[name], LESION_ENDINGS)


def read_layout(root: Path) -> Layout:
    """The examinations under a folder, BIDS if it looks so, by the names of their files.

    Raises:
        InputError: There is no NIfTI file.
    """
    files = nifti_files(root)
    if not files:
        raise InputError(
            f"{root} holds no .nii or .nii.gz file; expected <subject>_<modality>.nii.gz in "
            "folders, a BIDS dataset, or a CSV"
        )
    folder_masks = {file.parent: file for file in files if _FOLDER_MASK.fullmatch(file.name)}
    images = [file for file in files if not _FOLDER_MASK.fullmatch(file.name)]
    is_bids = any(file.parent.name == "anat" and file.name.startswith("sub-") for file in images)
    found = _bids(root, images) if is_bids else _folders(images)
    return Layout(root, found, is_bids, folder_masks)


def from_folder(root: Path, wanted: Sequence[str]) -> list[Subject]:
    """The subjects under a folder that have all wanted sequences.

    Raises:
        InputError: There is none, one lacks a sequence, or has two files for one.
    """
    layout = read_layout(root)
    subjects, incomplete = [], []
    for name in layout.examinations:
        chosen = {modality: layout.single(name, modality) for modality in wanted}
        present = {modality: file for modality, file in chosen.items() if file is not None}
        if not present:
            continue
        if absent := [modality for modality in wanted if modality not in present]:
            incomplete.append(f"{name} lacks {' and '.join(absent)}")
            continue
        subjects.append(
            Subject(
                name=name,
                patient=patient_of(name),
                images=present,
                mask=layout.mask(name, present[wanted[0]]),
                lesion=layout.lesion(name),
            )
        )
    if incomplete:
        raise InputError(
            f"{len(incomplete)} of {len(incomplete) + len(subjects)} subjects under {root} are "
            f"incomplete: {some(incomplete)}; add the files, or list the others in a CSV"
        )
    if not subjects:
        looked_for = {modality: endings(modality) for modality in wanted}
        raise InputError(f"{root} holds no subject; looked for file names ending in {looked_for}")
    return subjects


def nifti_files(root: Path) -> list[Path]:
    """Every NIfTI file under a folder, also through symbolic links, but never in a circle.

    Names that begin with a dot are not looked at: macOS leaves `._NAME` beside every file on
    foreign disks, and versions of files lie in `.git`.
    """
    files = []
    for place, folders, names in os.walk(root, followlinks=True):
        here = Path(place)
        shown = (name for name in names if not name.startswith("."))
        files += [here / name for name in shown if _FILE.fullmatch(name)]
        above = {folder.resolve() for folder in (here.absolute(), *here.absolute().parents)}
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and (here / name).resolve() not in above
        ]
    return sorted(files)


def _folders(files: Sequence[Path]) -> dict[str, FilesByEnding]:
    """Subject -> ending -> files, where names are ``<subject>_<ending>`` or ``<ending>`` alone."""
    found: dict[str, FilesByEnding] = defaultdict(lambda: defaultdict(list))
    for file in files:
        prefix, ending = _name_parts(file)
        if ending in MASK_ENDINGS:
            prefix = re.sub(r"[_-]brain$", "", prefix, flags=re.IGNORECASE)
        found[prefix or file.parent.name][ending].append(file)
    return found


def _bids(root: Path, files: Sequence[Path]) -> dict[str, FilesByEnding]:
    """Subject and session -> ending -> files: raw images, and masks of the raw grid."""
    found: dict[str, FilesByEnding] = defaultdict(lambda: defaultdict(list))
    ignored = _bidsignore(root)
    for file in files:
        if _NO_RAW_DATA & set(file.relative_to(root).parts) or ignored(file.relative_to(root)):
            continue
        prefix, ending = _name_parts(file)
        entities = prefix.split("_")
        derived = "derivatives" in file.relative_to(root).parts
        is_label = ending in MASK_ENDINGS or ending in LESION_ENDINGS
        elsewhere = any(part.startswith("space-") for part in entities)
        if not prefix.startswith("sub-") or (derived and (elsewhere or not is_label)):
            continue
        if file.parent.name != "anat" and not is_label:
            continue
        name = "_".join(part for part in entities[:2] if part.startswith(("sub-", "ses-")))
        enhanced = any(part.startswith("ce-") for part in entities)
        found[name]["t1c" if enhanced and ending == "t1w" else ending].append(file)
    return found


def _bidsignore(root: Path) -> Callable[[Path], bool]:
    """Whether `.bidsignore`, if there is one, leaves out a path below `root`."""
    try:
        lines = (root / ".bidsignore").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    patterns = [line.strip().strip("/") for line in lines]
    patterns = [pattern for pattern in patterns if pattern and not pattern.startswith("#")]

    def ignored(path: Path) -> bool:
        # A folder's name leaves out what is in it; with a slash a pattern is of the whole path.
        places = [path, *path.parents][:-1]
        return any(
            fnmatch(place.as_posix() if "/" in pattern else place.name, pattern)
            for pattern in patterns
            for place in places
        )

    return ignored


def read_table(file: Path, required: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV with a header, values without surrounding space, "" where there is none.

    Raises:
        InputError: The file is no CSV in UTF-8, or lacks a required column.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = list(reader.fieldnames or ())
            rows = [{name: (row[name] or "").strip() for name in columns} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} is not a CSV in UTF-8 that can be read: {error}") from error
    if not set(required) <= set(columns):
        raise InputError(
            f"{file} has the columns {columns}; expected {list(required)}, separated by commas"
        )
    return rows


def from_csv(file: Path, wanted: Sequence[str]) -> list[Subject]:
    """The subjects of a CSV with a column for each wanted sequence, paths relative to its folder.

    Raises:
        InputError: No CSV, a missing column or file, no subject, or one that comes twice.
    """
    rows = read_table(file, wanted)
    if not rows:
        raise InputError(f"{file} lists no subject; expected one on each line after the header")
    subjects: dict[str, Subject] = {}
    for line, row in enumerate(rows, start=2):
        files = {
            column: file.parent / row[column]
            for column in (*wanted, "mask", "seg")
            if row.get(column)
        }
        for column, found in files.items():
            if not found.is_file():
                raise InputError(f"{file} line {line}: {column} file {found} does not exist")
        if absent := [column for column in wanted if column not in files]:
            raise InputError(f"{file} line {line} lacks {absent}")
        first = files[wanted[0]]
        name = row.get("subject") or _name_parts(first)[0] or first.parent.name
        if name in subjects:
            raise InputError(
                f"{file} line {line}: the subject {name} comes twice; name each in a column "
                "'subject'"
            )
        subjects[name] = Subject(
            name=name,
            patient=row.get("patient") or patient_of(name),
            images={column: files[column] for column in wanted},
            mask=files.get("mask"),
            lesion=files.get("seg"),
            split=row.get("split") or None,
            values={name: value for name, value in row.items() if name not in files},
        )
    return list(subjects.values())


def _single(name: str, role: str, by_ending: FilesByEnding, ends: Sequence[str]) -> Path | None:
    files = [file for ending in ends for file in by_ending.get(ending, [])]
    if len(files) > 1:
        raise InputError(
            f"{name} has {len(files)} files for {role}: {some([str(file) for file in files])}; "
            "expected one: remove the others, or list the right ones in a CSV"
        )
    return files[0] if files else None


def endings(modality: str) -> tuple[str, ...]:
    """How names of files of a sequence end, in lower case."""
    return NAMES_OF.get(modality.lower(), (modality.lower(),))


def _name_parts(file: Path) -> tuple[str, str]:
    """Name before the last ``_`` or ``-``, and what follows it in lower case."""
    match = _FILE.fullmatch(file.name)
    if match is None:
        raise InputError(f"{file} is not a .nii or .nii.gz file; training reads NIfTI")
    return match.group("prefix") or "", match.group("ending").lower()
