"""The studies in a tree of DICOM files, by a quick look at each file: which lies where."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from hagan_clinic.imageio.dicom.discovery import files_below
from hagan_clinic.imageio.dicom.headers import read_study
from hagan_clinic.imageio.formats import is_volume_name


@dataclass(frozen=True)
class Study:
    """Where one examination of one patient lies.

    Attributes:
        patient: PatientID.
        uid: StudyInstanceUID; the folder, where it cannot be read.
        folder: The smallest folder that holds all its files.
        is_alone: Whether no file of another study lies there.
    """

    patient: str
    uid: str
    folder: Path
    is_alone: bool


def find_studies(root: Path) -> list[Study]:
    """The studies in a folder, nested as deep as they are, in the order of their first files.

    A series whose images name several patients or studies counts to the first of them as a whole,
    so that whoever reads it refuses it.

    Files whose study cannot be read count to the study that their folder belongs to; where there is
    none, they are one of their own, so that whoever reads it says what is wrong.

    Raises:
        InputError: A folder in it cannot be read.
    """
    places: dict[tuple[str, str], set[Path]] = defaultdict(set)
    of_series: dict[str, tuple[str, str]] = {}
    unknown: set[Path] = set()
    for name, opened in files_below(root):
        path = root / name
        if is_volume_name(path):
            continue
        try:
            ids = read_study(opened)
        except OSError:  # which the reader tells of, when its turn comes
            ids = ("", "", "")
        if ids is None:
            continue
        patient, uid, series = ids
        study = patient, uid
        if series:
            study = of_series.setdefault(series, study)
        (places[study] if study[1] else unknown).add(path.parent)
    folders = {study: Path(os.path.commonpath(found)) for study, found in places.items()}
    known = set(folders.values())
    for folder in sorted(unknown):
        if known.isdisjoint((folder, *folder.parents)):
            folders["", str(folder)] = folder
            places["", str(folder)] = {folder}
    held: dict[Path, set[tuple[str, str]]] = defaultdict(set)
    for study, found in places.items():
        for place in found:
            for folder in (place, *place.parents):
                held[folder].add(study)
    return [Study(*study, folder, len(held[folder]) == 1) for study, folder in folders.items()]
