"""A damaged series is refused, or read as what it then truly is: never as a wrong volume.

Real series, made small, are damaged by chance. What a folder then holds is told by pydicom alone:
of every file its pixels, rescaled, and where its own header puts them. A volume that comes back
must be whole, each of its slices one file's (or frame's) values and at that one's place.
"""

import shutil
from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.choice import choose
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.pixels import read_pixels

PLACE_MM = 0.06
"""How far a voxel may lie from where its own header puts it: what the gate lets pass in position,
orientation and spacing, summed at the far corner."""


@pytest.fixture(scope="session")
def sources(test_data, tmp_path_factory):
    """Small real series by name: classic, compressed and enhanced ones."""
    root = test_data / "dicom"
    brainix = sorted((root / "brainix/t1").glob("*.dcm"))[4:16]
    mprage = sorted((root / "sag_mprage").glob("*.dcm"))[90:102]
    supine = sorted((root / "decubitus/HFS/3_t1_fl2d_sag").glob("*.dcm"))
    (enhanced,) = (root / "xa30_enhanced/5_anat-T1w_acq-tfl").glob("*.dcm")
    made = {
        "brainix": [small(path, 10) for path in brainix],
        "mprage": [small(path, 6) for path in mprage],
        "supine": [small(path, 6) for path in supine[8:20]],
        "rle": [small(path, 10, RLELossless) for path in brainix],
        "jpeg_ls": [small(path, 6, JPEGLSLossless) for path in mprage],
        "jpeg_2000": [small(path, 6, JPEG2000Lossless) for path in supine[8:20]],
        "enhanced": [small_enhanced(enhanced)],
    }
    folder = tmp_path_factory.mktemp("sources")
    for name, datasets in made.items():
        (folder / name).mkdir()
        for number, dataset in enumerate(datasets):
            dataset.save_as(folder / name / f"{number:02}.dcm", enforce_file_format=True)
    return folder


def small(path, step, syntax=None):
    """A slice of which every few pixels are left, in a matrix that is not square."""
    dataset = pydicom.dcmread(path)
    array = dataset.pixel_array[::step, ::step][:, 3:]
    spacing = np.array(dataset.PixelSpacing, dtype=float) * step
    dataset.remove_private_tags()
    dataset.Rows, dataset.Columns = array.shape
    dataset.PixelSpacing = spacing.tolist()
    dataset.PixelData = np.ascontiguousarray(array).tobytes()
    if syntax:
        dataset.compress(syntax, generate_instance_uid=False)
    return dataset


def small_enhanced(path):
    """An enhanced instance of the first ten frames, every fourth pixel left."""
    dataset = pydicom.dcmread(path)
    array = dataset.pixel_array[:10, ::4, 4:-4:4]
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[:10]
    for group in (
        dataset.SharedFunctionalGroupsSequence[0],
        *dataset.PerFrameFunctionalGroupsSequence,
    ):
        for measures in group.get("PixelMeasuresSequence", []):
            measures.PixelSpacing = [4 * value for value in measures.PixelSpacing]
    dataset.remove_private_tags()
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = array.shape
    dataset.PixelData = np.ascontiguousarray(array).tobytes()
    return dataset


class Folder:
    """A copy of a series that mutations work on."""

    def __init__(self, path, rng):
        self.path, self.rng = path, rng

    @property
    def files(self):
        return sorted(self.path.iterdir())

    def some(self, inner=False):
        """One of the files; with `inner`, one that has neighbours on both sides."""
        files = self.by_place()
        return files[
            self.rng.integers(1, len(files) - 1) if inner else self.rng.integers(len(files))
        ]

    def two(self):
        return [self.files[i] for i in self.rng.choice(len(self.files), 2, replace=False)]

    def by_place(self):
        return sorted(self.files, key=lambda path: along_normal(pydicom.dcmread(path)))

    def edit(self, change, path=None):
        """Change the data set of one file, or of all."""
        for one in [path] if path else self.files:
            dataset = pydicom.dcmread(one)
            change(dataset)
            buffer = BytesIO()
            dataset.save_as(buffer)
            one.write_bytes(buffer.getvalue())

    @staticmethod
    def turn(dataset, angle):
        """Turn the axes that a data set tells within their plane."""
        cosines = np.array(dataset.ImageOrientationPatient, dtype=float).reshape(2, 3)
        cosine, sine = np.cos(angle), np.sin(angle)
        rotated = [[cosine, sine], [-sine, cosine]] @ cosines
        dataset.ImageOrientationPatient = [round(value, 6) for value in rotated.ravel().tolist()]


def along_normal(dataset):
    cosines = np.array(dataset.ImageOrientationPatient, dtype=float).reshape(2, 3)
    return np.cross(*cosines) @ np.array(dataset.ImagePositionPatient, dtype=float)


@pytest.fixture
def assess(sources, tmp_path):
    """A function that damages a copy of a source, and sees that it is read as it should be.

    The right outcome is one of

    - `same`: the damage is harmless, and the volume is that of the series as it was;
    - `refused`: it must not be read;
    - `true`: the data say something else now, and if they are read, then as what they say; the
      damage cannot be told from a series that is so.
    """

    def judged(mutation, outcome, series, seed):
        shutil.copytree(sources / series, tmp_path / "series")
        before = read(tmp_path / "series")
        folder = Folder(tmp_path / "series", np.random.default_rng(seed))
        mutation(folder)
        try:
            volume, affine = read(folder.path)
        except InputError as error:
            assert outcome != "same", str(error)
            assert str(error)
            return
        assert outcome != "refused"
        assert volume.dtype == np.float32 and np.isfinite(volume).all()
        if outcome == "same":
            assert np.array_equal(volume, before[0]) and np.array_equal(affine, before[1])
        assert any(is_true(volume, affine, frames) for frames in truth(folder.path).values())

    return judged


def pytest_generate_tests(metafunc):
    """Each of a module's `MUTATIONS` on each of its `SOURCES`, by a chance of its own."""
    if "mutation" not in metafunc.fixturenames:
        return
    kinds = [
        (mutation, outcome, source)
        for source in metafunc.module.SOURCES
        for outcome, mutations in metafunc.module.MUTATIONS.items()
        for mutation in mutations
    ]
    cases = [
        pytest.param(*kind, seed, id=f"{seed}-{kind[0].__name__}-{kind[2]}")
        for seed, kind in enumerate(kinds)
    ]
    metafunc.parametrize(("mutation", "outcome", "series", "seed"), cases)


def read(folder):
    """Volume and affine, as a user would be given them."""
    stack = choose(find_series(folder))
    return read_pixels(stack), stack.grid.affine


def frames_of(path):
    """Values, rescaled, and voxel-to-LPS matrix of each frame of a file, by pydicom alone."""
    dataset = pydicom.dcmread(path)
    pixels = np.atleast_3d(dataset.pixel_array.T).T
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    shared = dataset.get("SharedFunctionalGroupsSequence")
    for number, array in enumerate(pixels):
        facts = pydicom.Dataset()
        for place in (shared[0], groups[number]) if groups else ():
            for element in place:
                if element.VR == "SQ" and len(element.value):
                    facts.update(element.value[0])
        facts = facts if groups else dataset
        array = array.astype(np.float64) * float(facts.get("RescaleSlope", 1))
        array += float(facts.get("RescaleIntercept", 0))
        cosines = np.array(facts.ImageOrientationPatient, dtype=float).reshape(2, 3)
        down, along = (float(value) for value in facts.PixelSpacing)
        place = np.array(facts.ImagePositionPatient, dtype=float)
        matrix = np.column_stack([cosines[0] * along, cosines[1] * down, place])
        yield dataset.SeriesInstanceUID, array.astype(np.float32).T, matrix


def truth(folder):
    """The frames of each series that is there."""
    series = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            for uid, array, matrix in frames_of(path):
                series.setdefault(uid, []).append((array, matrix))
        except pydicom.errors.InvalidDicomError:
            continue
    return series


def is_true(volume, affine, frames):
    """Whether a volume is these frames, all of them, each once and in its own place."""
    if len(frames) != volume.shape[2]:
        return False
    left = list(range(len(frames)))
    columns, rows, _ = volume.shape
    corners = np.array([[0, 0, 1], [columns - 1, 0, 1], [0, rows - 1, 1], [columns, rows, 1]]).T
    lps = np.diag([-1, -1, 1]) @ affine[:3]
    for number in range(volume.shape[2]):
        place = lps @ [[1, 0, 0], [0, 1, 0], [0, 0, number], [0, 0, 1]]
        for frame in left:
            array, matrix = frames[frame]
            distance = np.linalg.norm((place - matrix) @ corners, axis=0).max()
            if distance < PLACE_MM and np.array_equal(array, volume[:, :, number]):
                left.remove(frame)
                break
    return not left
