"""Frames, groups and header of one enhanced instance."""

import numpy as np
import pydicom


def frames_described_otherwise(folder):
    folder.edit(lambda dataset: setattr(dataset, "PatientName", "Ü^Ö"))


def frames_in_another_order(folder):
    """Groups and pixels together."""

    def change(dataset):
        array, groups = dataset.pixel_array, dataset.PerFrameFunctionalGroupsSequence
        order = folder.rng.permutation(len(groups))
        dataset.PixelData = array[order].tobytes()
        dataset.PerFrameFunctionalGroupsSequence = [groups[int(number)] for number in order]

    folder.edit(change)


def groups_in_another_order(folder):
    def change(dataset):
        groups = dataset.PerFrameFunctionalGroupsSequence
        order = folder.rng.permutation(len(groups))
        dataset.PerFrameFunctionalGroupsSequence = [groups[int(number)] for number in order]

    folder.edit(change)


def group_dropped(folder):
    def change(dataset):
        del dataset.PerFrameFunctionalGroupsSequence[int(folder.rng.integers(10))]

    folder.edit(change)


def inner_frame_dropped(folder):
    def change(dataset):
        number = int(folder.rng.integers(1, 9))
        dataset.PixelData = np.delete(dataset.pixel_array, number, axis=0).tobytes()
        del dataset.PerFrameFunctionalGroupsSequence[number]
        dataset.NumberOfFrames = 9

    folder.edit(change)


def frame_doubled(folder):
    def change(dataset):
        groups = dataset.PerFrameFunctionalGroupsSequence
        one, other = folder.rng.choice(10, 2, replace=False).tolist()
        groups[one].PlanePositionSequence = groups[other].PlanePositionSequence

    folder.edit(change)


def frames_declared_otherwise(folder):
    frames = int(folder.rng.choice([1, 9, 11, 2**30]))
    folder.edit(lambda dataset: setattr(dataset, "NumberOfFrames", frames))


def truncated(folder):
    (path,) = folder.files
    content = path.read_bytes()
    path.write_bytes(content[: folder.rng.integers(150, len(content) - 1)])


def frame_without_position(folder):
    def change(dataset):
        group = dataset.PerFrameFunctionalGroupsSequence[int(folder.rng.integers(10))]
        del group.PlanePositionSequence

    folder.edit(change)


def frame_turned(folder):
    def change(dataset):
        group = dataset.PerFrameFunctionalGroupsSequence[int(folder.rng.integers(10))]
        folder.turn(group.PlaneOrientationSequence[0], 0.1)

    folder.edit(change)


def frames_rescaled(folder):
    def change(dataset):
        for group in dataset.PerFrameFunctionalGroupsSequence:
            transformation = pydicom.Dataset()
            transformation.RescaleSlope = round(folder.rng.uniform(0.1, 4), 6)
            transformation.RescaleIntercept = round(folder.rng.uniform(-50, 50), 3)
            group.PixelValueTransformationSequence = [transformation]
        for group in dataset.SharedFunctionalGroupsSequence:
            group.pop("PixelValueTransformationSequence", None)

    folder.edit(change)


def rows_changed(folder):
    change = int(folder.rng.choice([-5, -1, 1, 7, 60000]))
    folder.edit(lambda dataset: setattr(dataset, "Rows", dataset.Rows + change))


MUTATIONS = {
    "same": [frames_described_otherwise, frames_in_another_order],
    "refused": [
        group_dropped,
        inner_frame_dropped,
        frame_doubled,
        frames_declared_otherwise,
        truncated,
        frame_without_position,
        frame_turned,
        rows_changed,
    ],
    "true": [groups_in_another_order, frames_rescaled],
}
SOURCES = ["enhanced", "enhanced"]


def test_a_damaged_enhanced_instance_is_refused_or_read_as_what_it_is(
    mutation, outcome, series, seed, assess
):
    assess(mutation, outcome, series, seed)
