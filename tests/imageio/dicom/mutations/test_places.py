"""Headers that put slices elsewhere."""

import numpy as np
import pydicom


def positions_swapped(folder):
    """Where the header has a SliceLocation it contradicts that, else it is so."""
    one, other = folder.two()
    places = {path: pydicom.dcmread(path).ImagePositionPatient for path in (one, other)}
    folder.edit(lambda dataset: setattr(dataset, "ImagePositionPatient", places[other]), one)
    folder.edit(lambda dataset: setattr(dataset, "ImagePositionPatient", places[one]), other)


def pixels_swapped(folder):
    one, other = folder.two()
    pixels = {path: pydicom.dcmread(path).PixelData for path in (one, other)}
    folder.edit(lambda dataset: setattr(dataset, "PixelData", pixels[other]), one)
    folder.edit(lambda dataset: setattr(dataset, "PixelData", pixels[one]), other)


def position_moved(folder):
    axis, shift = folder.rng.integers(3), folder.rng.choice([-1, 1]) * folder.rng.uniform(0.2, 9)

    def change(dataset):
        position = [float(value) for value in dataset.ImagePositionPatient]
        position[axis] = round(position[axis] + shift, 4)
        dataset.ImagePositionPatient = position

    folder.edit(change, folder.some())


def position_removed(folder):
    folder.edit(lambda dataset: dataset.pop("ImagePositionPatient"), folder.some())


def position_not_a_number(folder):
    path = folder.some()
    position = pydicom.dcmread(path)["ImagePositionPatient"]
    told = "\\".join(str(value) for value in position.value).encode()
    assert path.read_bytes().count(told) >= 1
    path.write_bytes(path.read_bytes().replace(told, b"nan".ljust(len(told))))


def one_turned_in_its_plane(folder):
    angle = folder.rng.choice([np.pi / 2, np.pi, folder.rng.uniform(0.01, 1)])
    folder.edit(lambda dataset: folder.turn(dataset, angle), folder.some())


def all_turned_in_their_plane(folder):
    angle = folder.rng.uniform(0.01, 3)
    folder.edit(lambda dataset: folder.turn(dataset, angle))


def one_of_another_spacing(folder):
    factor = folder.rng.choice([0.5, 0.99, 1.01, 2])

    def change(dataset):
        dataset.PixelSpacing = [round(float(value) * factor, 5) for value in dataset.PixelSpacing]

    folder.edit(change, folder.some())


def all_of_another_spacing(folder):
    def change(dataset):
        dataset.PixelSpacing = [2, 3]

    folder.edit(change)


def spacing_removed(folder):
    folder.edit(lambda dataset: dataset.pop("PixelSpacing"), folder.some())


def geometry_bytes_changed(folder):
    """A digit of position, orientation, spacing or matrix becomes another."""
    path = folder.some()
    content = bytearray(path.read_bytes())
    tag = folder.rng.choice(["20003200", "20003700", "28003000", "28001000", "28001100"])
    at = content.index(bytes.fromhex(tag)) + 8
    length = int.from_bytes(content[at - 2 : at], "little")
    digits = [i for i in range(at, at + length) if content[i] in b"0123456789"] or [at]
    content[folder.rng.choice(digits)] = folder.rng.choice(list(b"0123456789"))
    path.write_bytes(content)


MUTATIONS = {
    "refused": [
        position_moved,
        position_removed,
        position_not_a_number,
        one_turned_in_its_plane,
        one_of_another_spacing,
        spacing_removed,
    ],
    "true": [
        positions_swapped,
        pixels_swapped,
        all_turned_in_their_plane,
        all_of_another_spacing,
        geometry_bytes_changed,
    ],
}
SOURCES = ["brainix", "mprage", "supine", "rle", "jpeg_ls", "jpeg_2000"]


def test_a_series_with_slices_elsewhere_is_refused_or_read_as_what_it_is(
    mutation, outcome, series, seed, assess
):
    assess(mutation, outcome, series, seed)
