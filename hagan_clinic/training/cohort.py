"""Cohorts: which files belong to which subject, found in folders, BIDS datasets or a CSV."""

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import read_grid
from hagan_clinic.volume import Grid

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
COHORT_MASK = "brain_mask"
SMALLEST_COHORT = 8
SHOWN = 5

_FILE = re.compile(r"(?:(?P<prefix>.+)[_-])?(?P<ending>[A-Za-z0-9]+)\.nii(?:\.gz)?", re.IGNORECASE)
_PATIENT_RULES = (
    re.compile(r"(BraTS-[A-Za-z]+-\d+)-\d+"),  # the last number is a time point
    re.compile(r"(TCGA[-_]\w{2}[-_]\w{4})(?:[-_].*)?"),  # the rest is a date or a scan
    re.compile(r"(sub-[A-Za-z0-9]+)(?:_.*)?"),
)


@dataclass(frozen=True)
class Subject:
    """One examination of one patient: the files of its sequences.

    Attributes:
        name: Unique in the cohort.
        patient: Subjects of one patient stay on one side of a split.
        images: Modality (as the user named it) -> NIfTI file.
        mask: Brain mask on the same grid, where there is one.
        lesion: Lesion label map, where there is one (evaluation only).
        split: The side that a CSV's ``split`` column names.
    """

    name: str
    patient: str
    images: Mapping[str, Path]
    mask: Path | None = None
    lesion: Path | None = None
    split: str | None = None


def patient_of(name: str) -> str:
    """The patient behind a subject's name.

    >>> patient_of("BraTS-GLI-00021-001"), patient_of("TCGA-CS-4941_19960909"), patient_of("p7")
    ('BraTS-GLI-00021', 'TCGA_CS_4941', 'p7')
    """
    for rule in _PATIENT_RULES:
        if match := rule.fullmatch(name):
            patient = match.group(1)
            return patient.replace("-", "_") if patient.startswith("TCGA") else patient
    return name


def find_cohort(
    path: Path | str,
    sources: Sequence[str] = ("t1",),
    target: str | None = "flair",
    mask: Path | str | None = None,
) -> list[Subject]:
    """Find every subject that has the source and target sequences.

    Three layouts are known: folders of NIfTI files named ``<subject>_<modality>`` or
    ``<subject>-<modality>`` (BraTS, nested or flat), BIDS (``sub-*/[ses-*/]anat``), and a CSV
    with a column for each modality, paths relative to its folder, and optionally ``subject``,
    ``patient``, ``split``, ``mask`` and ``seg``. A file ``brain_mask.nii.gz`` at the top of the
    folder is the mask of every subject that has none of its own.

    Args:
        path: Folder or CSV file.
        sources: Names of the source sequences, in channel order.
        target: Name of the target sequence, None for an unconditional cohort.
        mask: One brain mask for all, before any that is found.

    Returns:
        The subjects, sorted by name.

    Raises:
        InputError: nothing is found, a subject lacks a sequence or has two files for one, or
            the CSV is malformed.
    """
    path = Path(path)
    wanted = (*sources, target) if target is not None else tuple(sources)
    if not wanted or len(set(wanted)) < len(wanted):
        raise InputError(f"The sequences are {list(wanted)}; expected at least one, all different.")
    if path.is_dir():
        subjects = _from_folder(path, wanted)
    elif path.is_file() and path.suffix.lower() == ".csv":
        subjects = _from_csv(path, wanted)
    else:
        raise InputError(f"{path} is neither a folder nor a .csv file; give one of these as data.")
    if mask is not None:
        if not Path(mask).is_file():
            raise InputError(f"The brain mask {mask} does not exist.")
        subjects = [replace(subject, mask=Path(mask)) for subject in subjects]
    return sorted(subjects, key=lambda subject: subject.name)


def check_cohort(subjects: Sequence[Subject]) -> list[str]:
    """Refuse subjects whose files lie on different grids; only headers are read.

    Returns:
        Warnings, one a line: a very small cohort, one file used by several subjects.

    Raises:
        InputError: A file is not a readable 3D NIfTI, or its grid differs from the grid of the
            subject's first sequence.
    """
    cohort_grids: dict[Path, Grid] = {}

    def grid_of(file: Path) -> Grid:
        if file not in cohort_grids:
            cohort_grids[file] = read_grid(file)
        return cohort_grids[file]

    owners: dict[Path, list[str]] = defaultdict(list)
    for subject in subjects:
        (first, first_file), *others = subject.images.items()
        expected = grid_of(first_file)
        if subject.mask is not None:
            others.append(("mask", subject.mask))
        for role, file in others:
            found = grid_of(file)
            if not found.same_as(expected):
                raise InputError(
                    f"{subject.name}: {role} is on another grid than {first}: "
                    f"{_difference(found, expected)}. Register and resample them to one grid."
                )
        for file in subject.images.values():
            owners[file.resolve()].append(subject.name)
    warnings = [
        f"{file.name} is used by several subjects: {_some(names)}"
        for file, names in owners.items()
        if len(names) > 1
    ]
    patients = len({subject.patient for subject in subjects})
    if patients < SMALLEST_COHORT:
        warnings.append(f"only {patients} patients; expect a model that has learnt them by heart")
    return warnings


def _from_folder(root: Path, wanted: tuple[str, ...]) -> list[Subject]:
    files = sorted(file for file in root.rglob("*.nii*") if _FILE.fullmatch(file.name))
    if not files:
        raise InputError(
            f"{root} holds no .nii or .nii.gz file; expected <subject>_<modality>.nii.gz in "
            "folders, a BIDS dataset, or a CSV."
        )
    is_bids = any(file.parent.name == "anat" and file.name.startswith("sub-") for file in files)
    return _bids(root, files, wanted) if is_bids else _folders(root, files, wanted)


def _folders(root: Path, files: Sequence[Path], wanted: tuple[str, ...]) -> list[Subject]:
    groups: dict[tuple[Path, str], dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    folder_masks: dict[Path, Path] = {}
    for file in files:
        prefix, ending = _name_parts(file)
        if ending in MASK_ENDINGS and prefix.lower() in ("", "brain"):
            folder_masks[file.parent] = file
        elif ending in MASK_ENDINGS:
            groups[file.parent, re.sub(r"[_-]brain$", "", prefix)]["mask"].append(file)
        elif ending in LESION_ENDINGS:
            groups[file.parent, prefix]["seg"].append(file)
        else:
            groups[file.parent, prefix][ending].append(file)
    found: dict[str, tuple[dict[str, list[Path]], Path]] = {}
    for (folder, prefix), by_ending in groups.items():
        name = prefix or folder.name
        if not _has_any(by_ending, wanted):
            continue
        if name in found:
            raise InputError(
                f"Two subjects are named {name}: in {found[name][1]} and in {folder}. Rename one, "
                "or list the subjects in a CSV."
            )
        found[name] = (by_ending, folder)
    subjects, missing = [], {}
    for name, (by_ending, folder) in found.items():
        images, absent = _select(name, by_ending, wanted)
        if absent:
            missing[name] = absent
            continue
        own_mask = _single(name, "mask", by_ending.get("mask", []))
        subjects.append(
            Subject(
                name=name,
                patient=patient_of(name),
                images=images,
                mask=own_mask or folder_masks.get(folder) or folder_masks.get(root),
                lesion=_single(name, "seg", by_ending.get("seg", [])),
            )
        )
    return _complete(root, subjects, missing, wanted)


def _bids(root: Path, files: Sequence[Path], wanted: tuple[str, ...]) -> list[Subject]:
    groups: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    masks: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        entities = [part for part in _name_parts(file)[0].split("_") if part]
        if not entities or not entities[0].startswith("sub-"):
            continue
        session = [part for part in entities[1:2] if part.startswith("ses-")]
        name = "_".join([entities[0], *session])
        ending = _name_parts(file)[1]
        derived = "derivatives" in file.relative_to(root).parts
        if ending in MASK_ENDINGS:
            masks[name].append(file)
        elif ending in LESION_ENDINGS:
            groups[name]["seg"].append(file)
        elif not derived and file.parent.name == "anat":
            enhanced = any(part.startswith("ce-") for part in entities)
            groups[name]["t1c" if enhanced and ending == "t1w" else ending].append(file)
    cohort_mask = next(
        (
            root / f"{COHORT_MASK}{end}"
            for end in (".nii.gz", ".nii")
            if (root / f"{COHORT_MASK}{end}").is_file()
        ),
        None,
    )
    subjects, missing = [], {}
    for name, by_ending in groups.items():
        if not _has_any(by_ending, wanted):
            continue
        images, absent = _select(name, by_ending, wanted)
        if absent:
            missing[name] = absent
            continue
        native = [file for file in masks[name] if "_space-" not in file.name]
        subjects.append(
            Subject(
                name=name,
                patient=patient_of(name),
                images=images,
                mask=_single(name, "mask", native) or cohort_mask,
                lesion=_single(name, "seg", by_ending.get("seg", [])),
            )
        )
    return _complete(root, subjects, missing, wanted)


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
        raise InputError(f"{file} is not a CSV in UTF-8 that can be read: {error}.") from error
    if not set(required) <= set(columns):
        raise InputError(
            f"{file} has the columns {columns}; expected {list(required)}, separated by commas."
        )
    return rows


def _from_csv(file: Path, wanted: tuple[str, ...]) -> list[Subject]:
    rows = read_table(file, wanted)
    if not rows:
        raise InputError(f"{file} lists no subject; expected one on each line after the header.")
    subjects: dict[str, Subject] = {}
    for line, row in enumerate(rows, start=2):
        files = {
            column: file.parent / row[column]
            for column in (*wanted, "mask", "seg")
            if row.get(column)
        }
        for column, found in files.items():
            if not found.is_file():
                raise InputError(f"{file} line {line}: {column} file {found} does not exist.")
        if absent := [column for column in wanted if column not in files]:
            raise InputError(f"{file} line {line} lacks {absent}.")
        first = files[wanted[0]]
        name = row.get("subject") or _name_parts(first)[0] or first.parent.name
        if name in subjects:
            raise InputError(
                f"{file} line {line}: the subject {name} comes twice; name each in a column "
                "'subject'."
            )
        subjects[name] = Subject(
            name=name,
            patient=row.get("patient") or patient_of(name),
            images={column: files[column] for column in wanted},
            mask=files.get("mask"),
            lesion=files.get("seg"),
            split=row.get("split") or None,
        )
    return list(subjects.values())


def _select(
    name: str, by_ending: Mapping[str, Sequence[Path]], wanted: tuple[str, ...]
) -> tuple[dict[str, Path], list[str]]:
    """One file for each wanted modality, and the modalities that have none."""
    images, absent = {}, []
    for modality in wanted:
        candidates = [file for ending in _endings(modality) for file in by_ending.get(ending, ())]
        file = _single(name, modality, candidates)
        if file is None:
            absent.append(modality)
        else:
            images[modality] = file
    return images, absent


def _has_any(by_ending: Mapping[str, Sequence[Path]], wanted: tuple[str, ...]) -> bool:
    return any(ending in by_ending for modality in wanted for ending in _endings(modality))


def _complete(
    root: Path,
    subjects: list[Subject],
    missing: Mapping[str, Sequence[str]],
    wanted: tuple[str, ...],
) -> list[Subject]:
    if missing:
        lacking = [f"{name} lacks {' and '.join(absent)}" for name, absent in missing.items()]
        raise InputError(
            f"{len(missing)} of {len(missing) + len(subjects)} subjects under {root} are "
            f"incomplete: {_some(lacking)}. Add the files, or list the others in a CSV."
        )
    if not subjects:
        looked_for = {name: list(_endings(name)) for name in wanted}
        raise InputError(
            f"{root} holds no subject; looked for file names that end in {looked_for}."
        )
    return subjects


def _single(name: str, role: str, files: Sequence[Path]) -> Path | None:
    if len(files) > 1:
        raise InputError(
            f"{name} has {len(files)} files for {role}: {_some([file.name for file in files])}. "
            "Expected one; remove the others, or list the right ones in a CSV."
        )
    return files[0] if files else None


def _endings(modality: str) -> tuple[str, ...]:
    return NAMES_OF.get(modality.lower(), (modality.lower(),))


def _name_parts(file: Path) -> tuple[str, str]:
    """Name before the last ``_`` or ``-``, and what follows it in lower case."""
    match = _FILE.fullmatch(file.name)
    if match is None:
        raise InputError(f"{file} is not a .nii or .nii.gz file; training reads NIfTI.")
    return match.group("prefix") or "", match.group("ending").lower()


def _difference(found: Grid, expected: Grid) -> str:
    if found.shape != expected.shape:
        return f"shape {found.shape} against {expected.shape}"
    offset = float(np.abs(_corners(found) - _corners(expected)).max())
    return f"same shape {found.shape}, but a corner is {offset:.3f} mm away"


def _corners(grid: Grid) -> NDArray[np.float64]:
    """Positions in mm of the eight corner voxels."""
    ends = np.array(list(product(*((0, side - 1) for side in grid.shape))))
    corners: NDArray[np.float64] = ends @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return corners


def _some(items: Sequence[str]) -> str:
    rest = len(items) - SHOWN
    return ", ".join(items[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
