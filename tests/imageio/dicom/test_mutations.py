"""Series that were damaged at random are refused, or every slice of theirs is where it was."""

import copy

import numpy as np
import pydicom
import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.choice import choose
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.geometry import POSITION_MM

RETAGGED = {
    "ImagePositionPatient": lambda rng: [f"{value:.4f}" for value in rng.uniform(-40, 40, 3)],
    "ImageOrientationPatient": lambda rng: [0, 1, 0, 0, 0, -1],
    "PixelSpacing": lambda rng: [0.9, 1.1 + 0.1 * rng.integers(1, 9)],
    "Rows": lambda rng: int(rng.integers(0, 6)),
    "Columns": lambda rng: int(rng.integers(0, 8)),
    "SliceLocation": lambda rng: f"{rng.uniform(-40, 40):.4f}",
    "SliceThickness": lambda rng: 3,
    "InstanceNumber": lambda rng: int(rng.integers(1, 99)),
    "SOPInstanceUID": lambda rng: "1.2.3.2",
    "SeriesInstanceUID": lambda rng: "1.2.5",
    "StudyInstanceUID": lambda rng: "1.3",
    "FrameOfReferenceUID": lambda rng: "1.3",
    "PatientID": lambda rng: "other",
    "ImageType": lambda rng: ["ORIGINAL", "PRIMARY", "LOCALIZER"],
    "Modality": lambda rng: "CT",
    "EchoTime": lambda rng: 90,
    "NumberOfFrames": lambda rng: 2,
    "SyntheticData": lambda rng: "YES",
}


def _mutated(datasets, rng):
    """One to three changes of data sets; returns what was done and the bytes to cut."""
    done, cut = [], {}
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(len(datasets)))
        kind = rng.choice(["drop", "copy", "swap", "shift", "retag", "strip", "cut", "shuffle"])
        done.append(f"{kind} {place}")
        one = datasets[place]
        if kind == "drop" and len(datasets) > 1:
            del datasets[place]
        elif kind == "copy":
            datasets.append(copy.deepcopy(one))
            if rng.random() < 0.5:
                datasets[-1].SOPInstanceUID = "1.2.3.99"
        elif kind == "swap":
            other = datasets[int(rng.integers(len(datasets)))]
            positions = list(one.ImagePositionPatient), list(other.ImagePositionPatient)
            other.ImagePositionPatient, one.ImagePositionPatient = positions
        elif kind == "shift":
            moved = np.array(one.ImagePositionPatient, float) + rng.normal(0, 0.5, 3)
            one.ImagePositionPatient = [f"{value:.6f}" for value in moved]
        elif kind == "retag":
            keyword = rng.choice(list(RETAGGED))
            done[-1] += f" {keyword}"
            setattr(one, keyword, RETAGGED[keyword](rng))
        elif kind == "strip":
            keyword = rng.choice([key for key in RETAGGED if key in one])
            done[-1] += f" {keyword}"
            if keyword != "ImagePositionPatient" or len(done) == 3:
                del one[keyword]
        elif kind == "cut":
            cut[place] = int(rng.integers(1, 700))
        else:
            order = rng.permutation(len(datasets))
            datasets[:] = [datasets[index] for index in order]
            cut = {int(np.flatnonzero(order == place)[0]): bytes_ for place, bytes_ in cut.items()}
    return done, cut


def _refusal(folder, truth):
    """The message that a series is refused with; None if it is taken, and then it is right."""
    try:
        made = choose(find_series(folder))
    except InputError as error:
        return str(error)
    rows, columns, spacing = 6, 8, (1.1, 0.9, 1.5)
    assert made.grid.shape[:2] == (columns, rows)
    assert made.grid.spacing == pytest.approx(spacing, abs=2e-2)
    for place, part in enumerate(made.slices):
        with part.instance.open() as stream:
            pixels = np.frombuffer(pydicom.dcmread(stream).PixelData, np.uint16)
        found = made.grid.affine[:3] @ [0, 0, place, 1]
        assert np.abs(found * [-1, -1, 1] - truth[pixels[0]]).max() < 2 * POSITION_MM
    return None


def test_no_random_damage_puts_a_slice_elsewhere(make_draft, save):
    rng = np.random.default_rng(20)
    refused = 0
    for trial in range(300):
        datasets = make_draft()
        truth = {
            place: np.array(one.ImagePositionPatient, float) for place, one in enumerate(datasets)
        }
        done, cut = _mutated(datasets, rng)
        folder = save(datasets, f"trial{trial}")
        for place, size in cut.items():
            path = folder / f"IM{place + 1:04d}"
            if path.exists():
                path.write_bytes(path.read_bytes()[:-size])
        try:
            refused += _refusal(folder, truth) is not None
        except AssertionError as error:
            raise AssertionError(f"trial {trial}: {', '.join(done)}: {error}") from error
    # The rest are harmless: an end slice gone, the files in another order, an unused tag changed.
    assert refused > 200
