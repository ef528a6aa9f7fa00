"""One examination of one patient: the files of its sequences."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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
        values: The other columns of a CSV, by name.
    """

    name: str
    patient: str
    images: Mapping[str, Path]
    mask: Path | None = None
    lesion: Path | None = None
    split: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)


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
