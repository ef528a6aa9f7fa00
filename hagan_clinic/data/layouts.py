"""The layouts of a cohort in folders: BraTS-like and BIDS."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from hagan_clinic.data.incomplete import OTHER_SEQUENCES, Incomplete, Lack
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
        return _files(self.examinations[name], endings(modality))

    def single(self, name: str, modality: str) -> Path | None:
        """The file of one sequence of an examination, None where there is none.

        Raises:
            InputError: There are several.
        """
        return self._single(name, modality, endings(modality))

    def mask(self, name: str, image: Path) -> Path | None:
        """The brain mask for an image of an examination: its own, its folder's, or that of all.

        Raises:
            InputError: The examination has several of its own.
        """
        own = self._single(name, "mask", MASK_ENDINGS)
        return own or self.folder_mask(image.parent)

    def folder_mask(self, folder: Path) -> Path | None:
        """The brain mask without a subject's name for the images in a folder, or for all."""
        return self.folder_masks.get(folder) or self.folder_masks.get(self.root)

    def several(self, role: str, files: Sequence[Path]) -> str:
        """What is said of an examination that has more than one file for a sequence or mask."""
        named = some([file.relative_to(self.root).as_posix() for file in files])
        return f"has {len(files)} files for {role} ({named})"

    def _single(self, name: str, role: str, ends: Sequence[str]) -> Path | None:
        files = _files(self.examinations[name], ends)
        if len(files) > 1:
            raise InputError(
                f"{name} {self.several(role, files)}; expected one: remove the others, or list "
                "the right ones in a CSV"
            )
        return files[0] if files else None


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


def from_folder(root: Path, wanted: Sequence[str]) -> tuple[list[Subject], list[Incomplete]]:
    """The subjects under a folder that have any of the wanted sequences.

    Returns:
        The subjects, each with the images of which it has one file; and what is wrong with those
        that lack a sequence or have several files for one.

    Raises:
        InputError: There is no NIfTI file, or a sequence that no subject has.
    """
    layout = read_layout(root)
    known = {"mask": MASK_ENDINGS, "lesion": LESION_ENDINGS}
    known |= {modality: endings(modality) for modality in wanted}
    found = {
        name: {role: _files(by_ending, ends) for role, ends in known.items()}
        for name, by_ending in layout.examinations.items()
    }
    found = {name: files for name, files in found.items() if any(files[one] for one in wanted)}
    if absent := [one for one in wanted if not any(files[one] for files in found.values())]:
        raise InputError(
            f"{root}: no subject has {' or '.join(absent)}, looked for in names ending in "
            f"{', '.join(end for one in absent for end in known[one])}; found "
            f"{_present(layout)}; {OTHER_SEQUENCES}"
        )
    subjects, incomplete = [], []
    for name, files in found.items():
        one_of = {role: paths[0] for role, paths in files.items() if len(paths) == 1}
        images = {modality: one_of[modality] for modality in wanted if modality in one_of}
        if lacking := " and ".join(modality for modality in wanted if not files[modality]):
            incomplete.append(Incomplete(name, Lack.MISSING, f"lacks {lacking}"))
        incomplete += [
            Incomplete(name, Lack.SEVERAL, layout.several(role, paths))
            for role, paths in files.items()
            if len(paths) > 1
        ]
        folder = next(paths[0].parent for paths in map(files.get, wanted) if paths)
        subjects.append(
            Subject(
                name=name,
                patient=patient_of(name),
                images=images,
                mask=one_of.get("mask") or layout.folder_mask(folder),
                lesion=one_of.get("lesion"),
            )
        )
    return subjects, incomplete


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
        prefix, ending = name_parts(file)
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
        prefix, ending = name_parts(file)
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


def _files(by_ending: FilesByEnding, ends: Sequence[str]) -> list[Path]:
    return [file for ending in ends for file in by_ending.get(ending, [])]


def _present(layout: Layout) -> str:
    """Which sequences there are, under the names that options know, and in how many subjects."""
    names = {ending: name for name, ends in NAMES_OF.items() for ending in ends}
    counts = Counter(
        name
        for by_ending in layout.examinations.values()
        for name in {names.get(ending, ending) for ending in by_ending}
        if name not in (*MASK_ENDINGS, *LESION_ENDINGS)
    )
    commonest = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return some([f"{name} in {count}" for name, count in commonest]) or "no other"


def endings(modality: str) -> tuple[str, ...]:
    """How names of files of a sequence end, in lower case."""
    return NAMES_OF.get(modality.lower(), (modality.lower(),))


def name_parts(file: Path) -> tuple[str, str]:
    """Name before the last ``_`` or ``-``, and what follows it in lower case."""
    match = _FILE.fullmatch(file.name)
    if match is None:
        raise InputError(f"{file} is not a .nii or .nii.gz file; training reads NIfTI")
    return match.group("prefix") or "", match.group("ending").lower()
