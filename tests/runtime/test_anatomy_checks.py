"""A head, a phantom and a head under wrong axes are told apart."""

import time
from itertools import permutations
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from hagan_clinic.imageio import read
from hagan_clinic.imageio.dicom.scan import read_series
from hagan_clinic.runtime.plausibility import image_warnings
from hagan_clinic.volume import Volume, crop_or_pad, to_canonical

EXAMPLES = Path(__file__).parents[2] / "examples"
BRAIN = EXAMPLES / "open_ms_patient07" / "open_ms_patient07_t1.nii.gz"

# Of (S, A, R): every order of the axes but the right one.
WRONG = list(permutations(range(3)))[1:]


def told(volume):
    """What the checks of anatomy say, without those of grey values."""
    return [one for one in image_warnings("flair", volume) if "litres" not in one]


def under_wrong_axes(volume, order):
    """The array of a volume in another order of its axes, under an affine that knows none."""
    canonical = to_canonical(volume)
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = np.array(canonical.spacing)[list(order)]
    affine[3, 3] = 1
    return Volume(canonical.array.transpose(order), affine)


@pytest.fixture(scope="module")
def brain():
    return read(BRAIN)


@pytest.fixture(scope="module")
def heads(test_data):
    """Whole heads of several scanners, and brains with tumours."""
    mask = read(test_data / "lgg_mni" / "brain_mask.nii.gz").array > 0
    folders = sorted(path for path in (test_data / "lgg_mni").iterdir() if path.is_dir())[::9]
    whole = [read(folder / f"{folder.name}_t1.nii.gz") for folder in folders]
    stripped = [head.with_array(np.where(mask, head.array, 0)) for head in whole]
    folders = sorted(path for path in (test_data / "brats_1mm").iterdir() if path.is_dir())[::6]
    return whole, stripped + [read(next(folder.glob("*_t1.nii.gz"))) for folder in folders]


def test_a_brain_in_any_order_of_axes_fits_its_header(brain):
    for codes in ("RAS", "PSR", "LIA"):
        image = nib.Nifti1Image(brain.array, brain.affine)
        turned = image.as_reoriented(
            nib.orientations.ornt_transform(
                nib.orientations.io_orientation(brain.affine),
                nib.orientations.axcodes2ornt(codes),
            )
        )
        assert told(Volume(np.asarray(turned.dataobj), turned.affine)) == []


def test_a_turned_head_fits_its_header(brain):
    for angles in ((0.2, 0.2, -0.2), (-0.5, 0, 0), (0, 0.2, 0.2)):
        turn = np.eye(4)
        turn[:3, :3] = nib.eulerangles.euler2mat(*angles)
        assert told(Volume(brain.array, turn @ brain.affine)) == []


def test_real_heads_fit_their_headers(heads):
    whole, stripped = heads
    assert [warning for head in (*whole, *stripped) for warning in told(head)] == []


def test_real_series_fit_their_headers(t1_series):
    assert told(read_series(t1_series, "t1").volume) == []


@pytest.mark.parametrize("order", [order for order in WRONG if order[2] != 2])
def test_a_head_whose_left_and_right_are_elsewhere_is_warned_of(heads, order):
    whole, stripped = heads
    across = "top to bottom" if order[0] == 2 else "front to back"
    for head in (*whole, *stripped):
        (warning,) = told(under_wrong_axes(head, order))
        assert f"is its own mirror image {across}" in warning
        assert "the axes in its header do not fit the head" in warning


def test_a_brain_that_lies_on_its_face_is_warned_of(heads):
    """Of a whole head without neck that cannot be told."""
    _, stripped = heads
    found = [told(under_wrong_axes(brain, (1, 0, 2))) for brain in stripped]
    assert sum(map(bool, found)) >= 0.8 * len(found)
    assert {"longer from back to front" in warning for (warning,) in filter(None, found)} == {True}


@pytest.mark.parametrize("series", ["sag_mprage", "xa30_enhanced/5_anat-T1w_acq-tfl"])
def test_a_head_whose_neck_is_elsewhere_than_at_the_bottom_is_warned_of(test_data, series):
    head = to_canonical(read_series(test_data / "dicom" / series, "t1").volume)
    upside_down = Volume(head.array[::-1, ::-1], head.affine)
    lying = under_wrong_axes(head, (1, 0, 2))
    for wrong, edge in ((upside_down, "top"), (lying, "back")):
        (warning,) = told(wrong)
        assert f"is cut off at the {edge} of its field of view, as a neck is" in warning


@pytest.mark.parametrize("axis", range(3))
def test_a_thin_slab_is_judged_without_an_error(brain, axis):
    shape = [5 if number == axis else size for number, size in enumerate(brain.shape)]
    told(crop_or_pad(brain, [(n - m) // 2 for n, m in zip(brain.shape, shape, strict=True)], shape))


def phantoms():
    """Cylinder with inserts, spheres and bottle, with the field's unevenness."""
    superior, anterior, right = np.indices((60, 80, 80)) * 3.0 - np.array(
        [88.5, 118.5, 118.5]
    ).reshape(3, 1, 1, 1)
    across = np.hypot(anterior, right)
    cylinder = (across < 95) & (np.abs(superior) < 74)
    field = 1 + 0.3 * np.cos(across / 60)
    grid = (np.abs(superior + 10) < 10) & ((anterior // 15 + right // 15) % 2 == 0)
    slab = (np.abs(superior - 40) < 6) & (np.abs(anterior) < 60) & (np.abs(right) < 70)
    yield "inserts", np.where(grid | slab, 0.15, 1) * cylinder * field
    yield "sphere", (np.hypot(across, superior) < 85) * field
    yield "uniform sphere", (np.hypot(across, superior) < 85) * 1.0
    yield "bottle", cylinder * (1 + 0.3 * anterior / 95)


@pytest.mark.parametrize(("kind", "values"), list(phantoms()), ids=[name for name, _ in phantoms()])
def test_a_phantom_is_warned_of(kind, values):
    noise = np.abs(np.random.default_rng(0).normal(0, 0.03, values.shape))
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[0, 2] = 3
    affine[3, 3] = 1
    (warning,) = told(Volume((1000 * (values + noise)).astype(np.float32), affine))
    if kind == "uniform sphere":
        assert "nearly one grey value throughout" in warning
    else:
        assert "like a phantom and unlike a head" in warning
    assert warning.endswith("check that it is a head scan")


def test_the_checks_take_no_longer_than_a_few_looks_at_the_whole_volume(brain):
    """Of the processor's time; they share one coarse grid."""

    def least_of(look):
        times = []
        for _ in range(5):
            start = time.process_time()
            look()
            times.append(time.process_time() - start)
        return min(times)

    assert least_of(lambda: told(brain)) < 12 * least_of(lambda: np.sort(brain.array, axis=None))
