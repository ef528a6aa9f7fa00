import base64
import gzip

import numpy as np
import pytest

from hagan_clinic.runtime.page import make_subject
from hagan_clinic.volume import crop_or_pad, to_canonical


def values(subject, picture):
    packed = base64.b64decode(picture.data)
    array = np.frombuffer(gzip.decompress(packed), np.uint8).reshape(subject.grid.shape)
    return array, picture.low + picture.step * array.astype(np.float64)


def at_same_places(subject, volume):
    """The voxels of a volume that lie in the subject's grid, which is cropped from its own."""
    canonical = to_canonical(volume)
    start = np.linalg.inv(canonical.affine) @ subject.grid.affine[:, 3]
    first = np.rint(start[:3]).astype(int)
    assert np.allclose(first, start[:3])
    box = tuple(slice(n, n + size) for n, size in zip(first, subject.grid.shape, strict=True))
    return canonical.array[box]


@pytest.mark.parametrize("axes", ["as in the file", "sagittal"])
def test_volumes_decode_to_the_values_of_their_files(images, subject_of, posterior_first, axes):
    subject = subject_of(turned=posterior_first if axes == "sagittal" else None)
    assert [one.kind for one in subject.pictures] == ["source", "synthetic", "real", "error bar"]
    for picture, name in zip(subject.pictures, ("t1", "synthetic", "flair", "bar"), strict=True):
        expected = at_same_places(subject, images[name]).astype(np.float64)
        array, found = values(subject, picture)
        if picture.scanner:
            low, high = picture.scanner
            expected = (expected - low) / (high - low)
        exact = array < 255
        assert np.abs(found - expected)[exact].max() <= picture.step * 0.501
        assert (expected[~exact] > found[~exact] - picture.step * 0.501).all()
        assert (expected > found + picture.step).mean() < 0.001


def test_air_is_cropped_and_nothing_of_the_head(images, subject_of):
    def in_wide_air(volume):
        return crop_or_pad(volume, [-30] * 3, [size + 60 for size in volume.shape])

    subject = subject_of(turned=in_wide_air)
    bare = to_canonical(images["t1"])
    assert max(np.subtract(subject.grid.shape, bare.shape)) <= 10
    assert subject.grid.shape[0] < bare.shape[0] + 5  # there is air beside the head as it is
    kept = at_same_places(subject, in_wide_air(images["synthetic"]))
    assert kept.sum(dtype=float) > 0.9999 * images["synthetic"].array.sum(dtype=float)


def test_a_limit_is_kept_by_larger_voxels(subject_of):
    full = subject_of()
    subject = subject_of(limit=2**20)
    assert subject.size <= 2**20 < full.size
    assert 1 < min(subject.grid.spacing) < 4
    assert subject.key == full.key and subject.figures == full.figures


def test_figures_are_of_the_whole_brain(images, subject_of):
    figures = subject_of().figures
    brain = images["synthetic"].array > 0
    mean = images["bar"].array[brain].mean(dtype=float)
    assert figures["mean error bar"] == pytest.approx(mean, rel=1e-5)
    assert 0 < figures["mean absolute error"] < 0.3
    assert 0 <= figures["outside the error bar"] < 0.5


def test_a_page_opens_with_the_brain_well_seen_and_the_unknown_beyond_its_scale(images, subject_of):
    source, *_, bar = subject_of().pictures
    brain = images["t1"].array[images["synthetic"].array > 0.3]
    low, high = np.percentile(brain, [2, 98])
    assert source.window[0] < low < high < source.window[1] <= images["t1"].array.max()

    unknown = images["bar"].array.copy()
    unknown[:, :, :30] = 1
    shown = {**images, "bar": images["bar"].with_array(unknown)}
    masked = make_subject(
        "",
        [("t1", shown["t1"])],
        ("flair", shown["synthetic"]),
        uncertainty=shown["bar"],
        limit=2**24,
    ).pictures[-1]
    assert masked.window == pytest.approx(bar.window, abs=0.02)
    assert bar.window[1] < 0.31


def test_a_verdict_is_of_the_voxels_whatever_they_are_called(images, subject_of):
    assert subject_of("a", limit=2**18).key == subject_of("b", limit=2**18).key
    other = images["synthetic"].array.copy()
    other[60, 60, 60] += 0.001
    synthetic = images["synthetic"].with_array(other)
    changed = make_subject("a", [("t1", images["t1"])], ("flair", synthetic), limit=2**18)
    assert changed.key != subject_of("a", limit=2**18).key
