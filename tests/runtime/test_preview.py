import numpy as np
import pytest
from PIL import Image

from hagan_clinic.runtime.preview import (
    _PLANES,
    PIXELS_PER_MM,
    _grey,
    _pixels,
    draw_preview,
    write_preview,
)
from hagan_clinic.volume import Volume, to_canonical

AXIAL, CORONAL, SAGITTAL = _PLANES


def _marked(side, affine):
    """A canonical array that is bright on one side of the patient, from a volume in other axes."""
    array = np.zeros((20, 20, 20), np.float32)
    volume = Volume(array, affine)
    places = np.indices(array.shape).reshape(3, -1)
    positions = volume.affine[:3, :3] @ places + volume.affine[:3, 3:]
    centre = positions.mean(axis=1, keepdims=True)
    bright = side @ (positions - centre) > 6
    array[tuple(places[:, bright])] = 1
    return to_canonical(Volume(array, volume.affine)).array


RIGHT, ANTERIOR, SUPERIOR = np.eye(3)
RAS = np.eye(4)
LPI = np.diag([-1.0, -1.0, -1.0, 1.0])
# First axis to posterior, second to superior, third to left: a sagittal acquisition.
SAGITTAL_SCAN = np.array([[0, 0, -1, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("affine", [RAS, LPI, SAGITTAL_SCAN], ids=["RAS", "LPI", "sagittal"])
@pytest.mark.parametrize(
    ("plane", "side", "place"),
    [
        (AXIAL, RIGHT, "left"),
        (AXIAL, ANTERIOR, "top"),
        (CORONAL, RIGHT, "left"),
        (CORONAL, SUPERIOR, "top"),
        (SAGITTAL, ANTERIOR, "left"),
        (SAGITTAL, SUPERIOR, "top"),
    ],
)
def test_each_side_of_the_patient_is_where_its_letter_says(affine, plane, side, place):
    array = _marked(side, affine)
    picture = np.asarray(_pixels(array, (1.0, 1.0, 1.0), plane, (10, 10, 10), _grey))[..., 0]
    height, width = picture.shape
    halves = {
        "left": picture[:, : width // 2],
        "right": picture[:, width // 2 :],
        "top": picture[: height // 2],
        "bottom": picture[height // 2 :],
    }
    assert max(halves, key=lambda half: halves[half].mean()) == place
    letter = {"left": plane.left, "top": plane.top}[place]
    assert letter == {tuple(RIGHT): "R", tuple(ANTERIOR): "A", tuple(SUPERIOR): "S"}[tuple(side)]


def test_slices_are_drawn_in_true_proportion():
    array = np.zeros((30, 100, 80), np.float32)
    spacing = (5.0, 1.0, 1.5)
    picture = _pixels(array, spacing, CORONAL, (15, 50, 40), _grey)
    assert picture.size == (round(120 * PIXELS_PER_MM), round(150 * PIXELS_PER_MM))


def _volumes():
    array = np.zeros((40, 50, 30), np.float32)
    array[8:32, 10:40, 5:25] = np.random.default_rng(0).uniform(50, 100, (24, 30, 20))
    source = Volume(array, np.diag([3.0, 3.0, 4.0, 1.0]))
    half_width = np.where(array > 0, np.float32(0.2), np.float32(0))
    return source, source.with_array(array / 100), source.with_array(half_width)


def test_preview_says_what_it_is_in_its_metadata_and_keeps_the_words_readable(tmp_path):
    source, target, half_width = _volumes()
    write_preview(tmp_path / "p.png", [("t1", source)], ("flair", target), half_width, "CC0-1.0")
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.text["Title"].startswith("SYNTHETIC, NOT FOR DIAGNOSIS")
        assert picture.text["Comment"] == "CC0-1.0"
        footer = np.asarray(picture.convert("RGB"))[-78:]
    orange = (footer == (255, 176, 84)).all(axis=-1)
    assert orange.sum() > 300


def test_every_source_has_its_column():
    source, target, half_width = _volumes()
    one = draw_preview([("t1", source)], ("flair", target), half_width, "")
    two = draw_preview([("t1", source), ("t2", source)], ("flair", target), half_width, "")
    assert two.width - one.width > 100
    assert two.height == one.height


def test_what_is_unknown_is_grey_and_does_not_stretch_the_scale():
    source, target, half_width = _volumes()
    cut = half_width.with_array(half_width.array.copy())
    cut.array[:, :25] = 1
    known, unknown = (
        np.asarray(draw_preview([("t1", source)], ("flair", target), u, ""))
        for u in (half_width, cut)
    )
    grey = [(picture == (52, 56, 64)).all(axis=-1) for picture in (known, unknown)]
    assert grey[0].sum() == 0 and grey[1].sum() > 5000
    # What is known looks as before, so the colour bar has the same end.
    bar = slice(-96, None)
    assert np.array_equal(known[:, bar], unknown[:, bar])


def test_the_scale_is_that_of_the_head_however_much_air_is_known():
    source, target, half_width = _volumes()
    faint = half_width.with_array(np.maximum(half_width.array, np.float32(0.01)))
    picture, with_air = (
        np.asarray(draw_preview([("t1", source)], ("flair", target), u, ""))
        for u in (half_width, faint)
    )
    bar = slice(-96, None)
    assert np.array_equal(picture[:, bar], with_air[:, bar])
    brighter = half_width.with_array(np.where(source.array > 0, half_width.array, np.float32(0.9)))
    in_air = np.asarray(draw_preview([("t1", source)], ("flair", target), brighter, ""))
    assert np.array_equal(picture[:, bar], in_air[:, bar])


def test_volume_without_any_uncertainty_is_drawn_black():
    source, target, half_width = _volumes()
    flat = half_width.with_array(np.zeros_like(half_width.array))
    certain, uncertain = (
        np.asarray(draw_preview([("t1", source)], ("flair", target), u, ""))
        for u in (flat, half_width)
    )
    difference = np.abs(certain.astype(int) - uncertain).sum(axis=-1) > 200
    assert difference.sum() > 1000
