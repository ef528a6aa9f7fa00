"""A real head in a few small slices, and how we and others read it."""

import shutil
import subprocess
from functools import partial
from io import BytesIO

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.imageio.dicom.geometry import stack
from hagan_clinic.imageio.dicom.pixels import read_pixels
from hagan_clinic.imageio.dicom.series import Instance, Series, Slice, Stack
from hagan_clinic.volume import Grid

ROWS, COLUMNS, SLICES = 60, 44, 5


@pytest.fixture(scope="session")
def head(test_data):
    """Some slices of a real T1, with every sixth pixel, as data sets."""
    paths = sorted((test_data / "dicom/brainix/t1").glob("*.dcm"))[8 : 8 + SLICES]
    return sorted(map(small, paths), key=along_normal)


def along_normal(dataset):
    cosines = np.array(dataset.ImageOrientationPatient, dtype=float).reshape(2, 3)
    return np.cross(*cosines) @ np.array(dataset.ImagePositionPatient, dtype=float)


def small(path):
    dataset = pydicom.dcmread(path)
    array = dataset.pixel_array[100::6, 120::6][:ROWS, :COLUMNS]
    spacing = [6 * value for value in dataset.PixelSpacing]
    dataset.Rows, dataset.Columns, dataset.PixelSpacing = *array.shape, spacing
    dataset.remove_private_tags()
    dataset.PixelData = array.tobytes()
    return dataset


@pytest.fixture
def series(head, tmp_path):
    """A function that writes the slices, each changed by a function, into a new folder."""

    def written(change=lambda dataset, number: None, name="series"):
        folder = tmp_path / name
        folder.mkdir()
        for number, slice_ in enumerate(head):
            copy = pydicom.dcmread(as_file(slice_))
            change(copy, number)
            copy.save_as(folder / f"{number}.dcm", enforce_file_format=True)
        return folder

    return written


def as_file(dataset):
    buffer = BytesIO()
    dataset.save_as(buffer)
    buffer.seek(0)
    return buffer


@pytest.fixture
def with_array():
    """The function that puts an array into a data set."""
    return put_array


def put_array(dataset, array, signed=False, stored=None):
    dataset.PixelData = array.astype(f"<{'i' if signed else 'u'}{array.itemsize}").tobytes()
    dataset.BitsAllocated = 8 * array.itemsize
    dataset.BitsStored = stored or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(signed)
    return dataset


def positive(dataset, number):
    del number


def negative(dataset, number):
    """Signed values down to the lowest."""
    values = dataset.pixel_array.astype(np.int16) - 900
    values[0, :2] = -2048, 2047
    put_array(dataset, values, signed=True, stored=12)


@pytest.fixture(params=[positive, negative])
def kind(request):
    """A change of a slice: none, or to signed values."""
    return request.param


@pytest.fixture
def read():
    """A function that gives the volume of the one series in a folder."""

    def volume(folder):
        found = find_series(folder)
        if found.damaged:
            raise InputError(found.damaged[0].reason)
        (only,) = found.series
        return read_pixels(stack(only))

    return volume


@pytest.fixture
def refusal(read):
    """A function that gives the message with which a folder is refused."""

    def message(folder):
        with pytest.raises(InputError) as caught:
            read(folder)
        return str(caught.value)

    return message


@pytest.fixture
def by_itk():
    """The same volume by SimpleITK, in the order of positions along the normal."""

    def volume(folder):
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
        return sitk.GetArrayFromImage(sitk.ReadImage(names)).T

    return volume


@pytest.fixture
def by_highdicom():
    """The same by highdicom, frame by frame in the order of our stack."""

    def volume(folder):
        (only,) = find_series(folder).series
        frames = {i.name: highdicom.imread(folder / i.name).get_frames() for i in only.instances}
        return np.stack([frames[s.instance.name][s.frame] for s in stack(only).slices]).T

    return volume


@pytest.fixture
def stored(head):
    """The samples of `series`, as the unchanged slices store them."""
    return np.stack([slice_.pixel_array for slice_ in head]).T


@pytest.fixture
def convert():
    """A function that runs a tool of dcmtk on every file of a folder."""

    def converted(tool, folder, *options):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} of dcmtk is not installed")
        result = folder.with_name(f"{folder.name}_{tool}")
        result.mkdir()
        for path in folder.iterdir():
            command = [tool, *options, str(path), str(result / path.name)]
            subprocess.run(command, check=True, capture_output=True)
        return result

    return converted


@pytest.fixture
def single():
    """A function that stacks the frames of one file as it stands, whatever its geometry is."""

    def stacked(path, frames=1):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        instance = Instance(path.name, partial(path.open, "rb"), header)
        slices = tuple(Slice(instance, number, pydicom.Dataset()) for number in range(frames))
        grid = Grid((header.Columns, header.Rows, frames), np.eye(4))
        return Stack(Series("1.2", (instance,)), slices, grid)

    return stacked
