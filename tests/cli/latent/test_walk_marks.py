"""Labels of a walk, by a segmenter and by thresholds of CT: figures, table and pictures."""

import csv
import json
import stat
import sys

import nibabel
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from hagan_clinic.errors import InputError
from hagan_clinic.runtime.exploration import (
    EmphysemaShare,
    LabelVolumes,
    TissueVolumes,
    pictures,
    read_direction,
    write_direction,
)
from hagan_clinic.runtime.exploration.emphysema import find_lung
from hagan_clinic.runtime.exploration.series import LEGEND, VolumeSeries, write_series

SEGMENTER = """\
#!{python}
import sys
import nibabel
image = nibabel.load(sys.argv[-2])
values = image.get_fdata()
labels = {labels}
if labels.dtype.kind != "f":
    labels = labels.astype("int16")
nibabel.save(nibabel.Nifti1Image(labels, {affine}), sys.argv[-1])
"""
WINDOW = (-1024.0, 600.0)


@pytest.fixture
def make_segmenter(tmp_path):
    """The function that writes a program which marks what an expression of ``values`` says."""

    def make(labels, affine="image.affine", first=SEGMENTER):
        path = tmp_path / "segment"
        path.write_text(first.format(python=sys.executable, labels=labels, affine=affine))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make


@pytest.fixture(scope="module")
def ct(make_unconditional_run, direction, tmp_path_factory):
    """A run of random weights in the window of chest CT, and a direction of its latents.

    Its last layer is stronger, so that values reach all of the window, and regions of air arise.
    """
    folder = tmp_path_factory.mktemp("ct")
    make_unconditional_run(folder / "run", image="ct", window=WINDOW)
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "run" / "best" / "average.safetensors")
    weights["module.generator.high.last.weight"] *= 12
    weights["module.generator.high.last.bias"][:] = 0.8
    save_file(weights, folder / "run" / "best" / "average.safetensors")
    from hagan_clinic.api.generators import load_generator

    identity = load_generator(folder / "run", "cpu").identity
    found = read_direction(direction)
    write_direction(type(found)(**{**vars(found), "identity": identity}), folder / "d.npz")
    return folder / "run", folder / "d.npz"


def rows_of(folder):
    return list(csv.DictReader((folder / "walk.csv").open()))


def pixels_of(folder):
    """Of the montage, and of the first frame of the animation."""
    with Image.open(folder / "walk.png") as montage, Image.open(folder / "walk.gif") as animation:
        return np.asarray(montage.convert("RGB")), np.asarray(animation.convert("RGB"))


def pixels_over(marked):
    """How many pixels of a montage show a mask of 32 voxels a side in its middle planes."""
    return 5**2 * sum(np.take(marked, 16, axis).sum() for axis in range(3))


def coloured(pixels, label):
    """Pixels that have the hue of a label, not grey and not that of the notice."""
    colour = np.array(pictures.label_colour(label)) / 255
    shown = pixels / 255
    chroma = shown - shown.min(-1, keepdims=True)
    wanted = colour - colour.min()
    strong = chroma.max(-1) > 0.2
    scaled = chroma / np.maximum(chroma.max(-1, keepdims=True), 1e-6)
    return int((strong & (np.abs(scaled - wanted / wanted.max()).max(-1) < 0.1)).sum())


def assert_drawn(bare, marked, expected):
    """Montage and animation show labels in their colours, which are not there without."""
    for before, after, least in zip(
        pixels_of(bare), pixels_of(marked), (expected, dict.fromkeys(expected, 1)), strict=True
    ):
        for label, pixels in least.items():
            assert pixels > 0
            assert coloured(before, label) == 0
            assert coloured(after, label) >= pixels


def test_every_label_of_a_segmenter_is_measured_told_and_drawn(
    hagan, unconditional_run, direction, make_segmenter, tmp_path
):
    segmenter = make_segmenter("(values > 0.2) + 6 * (values > 0.5)")
    walk = ("walk", unconditional_run, direction, "--seed", 3, "--steps", 3, "-o")
    hagan(*walk, tmp_path / "bare")
    result = hagan(
        *(*walk, tmp_path / "marked", "--segmenter", segmenter),
        *("--measure-by", "threshold-volume", "--threshold", 0.5),
    )
    rows, expected = rows_of(tmp_path / "marked"), {1: 0, 7: 0}
    assert list(rows[0]) == ["step", "file", "predicted", "measured", "label_1_ml", "label_7_ml"]
    for row in rows:
        image = nibabel.load(tmp_path / "marked" / row["file"])
        values, voxel = image.get_fdata(), np.prod(image.header.get_zooms()) / 1000
        dark, bright = ((values > 0.2) & (values <= 0.5)).sum(), (values > 0.5).sum()
        expected[1] += pixels_over((values > 0.2) & (values <= 0.5))
        expected[7] += pixels_over(values > 0.5)
        assert float(row["label_1_ml"]) == pytest.approx(dark * voxel, rel=1e-4)
        assert float(row["label_7_ml"]) == pytest.approx(bright * voxel, rel=1e-4)
        assert float(row["measured"]) == pytest.approx(bright * voxel, rel=1e-4)
        assert f"{row['label_1_ml']}  {row['label_7_ml'].rjust(10)}" in result.stdout
        sidecar = tmp_path / "marked" / row["file"].replace(".nii.gz", ".json")
        told = json.loads(sidecar.read_text())["series"]["label_7_ml"]
        assert told == pytest.approx(float(row["label_7_ml"]), rel=1e-4)
    assert_drawn(tmp_path / "bare", tmp_path / "marked", expected)


def test_the_share_of_emphysema_in_the_lung_of_ct_is_measured_and_drawn(hagan, ct, tmp_path):
    run, direction = ct
    walk = ("walk", run, direction, "--seed", 3, "--steps", 3, "-o")
    hagan(*walk, tmp_path / "bare")
    result = hagan(*walk, tmp_path / "marked", "--measure-by", "emphysema")
    rows, expected = rows_of(tmp_path / "marked"), {1: 0, 2: 0}
    assert list(rows[0]) == ["step", "file", "predicted", "lung_ml", "emphysema_percent"]
    for row in rows:
        image = nibabel.load(tmp_path / "marked" / row["file"])
        values = -1024 + 1624 * image.get_fdata()
        # Axes of the file: to the right, to anterior, to superior.
        regions, count = ndimage.label(values < -500)
        outside = {*regions[[0, -1]].flat, *regions[:, [0, -1]].flat}
        inner = set(range(1, count + 1)) - outside
        sizes = sorted(((regions == region).sum(), region) for region in inner)
        lung = regions == sizes[-1][1]
        lung |= (regions == sizes[-2][1]) & (sizes[-2][0] >= sizes[-1][0] / 4)
        expected[1] += pixels_over(lung & (values >= -950))
        expected[2] += pixels_over(lung & (values < -950))
        ml = lung.sum() * np.prod(image.header.get_zooms()) / 1000
        assert float(row["lung_ml"]) == pytest.approx(ml, rel=1e-4)
        percent = 100 * (values[lung] < -950).mean()
        assert float(row["emphysema_percent"]) == pytest.approx(percent, rel=1e-4)
        assert row["emphysema_percent"] in result.stdout
    assert_drawn(tmp_path / "bare", tmp_path / "marked", expected)


def chest(joined=True):
    """A body in air with two lungs, 2 of their 10 slices destroyed, a trachea and gas below."""
    values = np.full((24, 20, 30), -1000.0)
    values[:, 2:-2, 2:-2] = 40
    values[8:18, 5:15, 5:12] = values[8:18, 5:15, 18:25] = -850
    values[10:12, 5:15, 5:12] = -980
    if joined:
        values[16, 10, 12:18] = values[16:, 10, 15] = -990
    values[2:5, 8:12, 20:24] = -1000
    return values


@pytest.mark.parametrize("joined", [True, False])
def test_lungs_are_found_by_their_size_whether_the_airways_join_them_or_not(joined):
    values = chest(joined)
    lung = find_lung(values)
    expected = np.zeros_like(lung)
    expected[8:18, 5:15, 5:12] = expected[8:18, 5:15, 18:25] = True
    if joined:
        expected[16, 10, 12:18] = expected[16:, 10, 15] = True
    np.testing.assert_array_equal(lung, expected)
    low, high = WINDOW
    marked = EmphysemaShare(WINDOW, (2, 2, 5))(((values - low) / (high - low)).astype(np.float32))
    ml, percent = marked.figures
    assert (ml.column, percent.column) == ("lung_ml", "emphysema_percent")
    assert ml.value == pytest.approx(expected.sum() * 0.02)
    assert percent.value == pytest.approx(100 * (values[expected] < -950).mean())
    np.testing.assert_array_equal(marked.labels == 2, expected & (values < -950))


def test_fat_and_bone_of_a_phantom_are_what_was_put_into_its_body():
    values = np.full((20, 24, 30), -1000.0)
    values[:, 4:-4, 4:-4] = 40
    values[3:17, 6:8, 6:24] = -100
    values[3, 10, 10:12] = -190, -30
    values[3, 10, 12:14] = -191, -29  # just outside of fat
    values[5:15, 12:14, 6:9] = 700
    values[4, 12, 6:8] = 201, 200
    values[:, -2:, :] = 300  # a table, two voxels off the body
    low = WINDOW[0]
    marked = TissueVolumes((low, 1000.0), (2, 2, 5))((values - low) / (1000 - low))
    fat, bone = np.zeros_like(values, bool), np.zeros_like(values, bool)
    fat[3:17, 6:8, 6:24] = fat[3, 10, 10:12] = True
    bone[5:15, 12:14, 6:9] = bone[4, 12, 6] = True
    np.testing.assert_array_equal(marked.labels == 1, fat)
    np.testing.assert_array_equal(marked.labels == 2, bone)
    assert [figure.column for figure in marked.figures] == ["fat_ml", "bone_ml"]
    expected = [(14 * 2 * 18 + 2) * 0.02, (10 * 2 * 3 + 1) * 0.02]
    assert [figure.value for figure in marked.figures] == pytest.approx(expected)


def test_fat_and_bone_of_a_model_of_ct_are_measured_and_drawn(hagan, ct, tmp_path):
    run, direction = ct
    walk = ("walk", run, direction, "--seed", 3, "--steps", 3, "-o")
    hagan(*walk, tmp_path / "bare")
    result = hagan(*walk, tmp_path / "marked", "--measure-by", "tissues")
    rows, expected = rows_of(tmp_path / "marked"), {1: 0, 2: 0}
    assert list(rows[0]) == ["step", "file", "predicted", "fat_ml", "bone_ml"]
    for row in rows:
        image = nibabel.load(tmp_path / "marked" / row["file"])
        values = -1024 + 1624 * image.get_fdata()
        regions, _ = ndimage.label(values >= -500)
        body = regions == 1 + np.bincount(regions.ravel())[1:].argmax()
        fat = body & (values >= -190) & (values <= -30)
        masks = {"fat_ml": fat, "bone_ml": body & (values > 200)}
        for label, (column, mask) in enumerate(masks.items(), 1):
            expected[label] += pixels_over(mask)
            ml = mask.sum() * np.prod(image.header.get_zooms()) / 1000
            assert float(row[column]) == pytest.approx(ml, rel=1e-3)
            assert row[column] in result.stdout
    assert_drawn(tmp_path / "bare", tmp_path / "marked", expected)


def test_a_volume_of_air_has_no_tissues():
    marked = TissueVolumes(WINDOW, (1, 1, 1))(np.zeros((8, 8, 8), np.float32))
    assert [str(figure) for figure in marked.figures] == ["fat: 0 ml", "bone: 0 ml"]


@pytest.mark.parametrize("window", [(), (0.0, 800.0), (-1024.0, 150.0), (-400.0, 600.0)])
def test_a_model_that_is_not_of_ct_has_no_tissues(window):
    with pytest.raises(InputError, match=r"fat and bone are measured in CT, .*this model does"):
        TissueVolumes(window, (1, 1, 1))


def test_a_volume_without_a_lung_has_no_share():
    for value in (0.0, 0.9):
        marked = EmphysemaShare(WINDOW, (1, 1, 1))(np.full((8, 8, 8), value, np.float32))
        assert not marked.labels.any()
        assert [str(figure) for figure in marked.figures] == ["lung: 0 ml", "emphysema: unknown"]


@pytest.mark.parametrize("window", [(), (0.0, 800.0), (-1024.0, -600.0), (-900.0, 600.0)])
def test_a_model_that_is_not_of_chest_ct_has_no_emphysema(window):
    with pytest.raises(InputError, match="this model does not make that"):
        EmphysemaShare(window, (1, 1, 1))


class Flat:
    """A generator whose step n is a volume of n / 10, under a model that is told."""

    def __init__(self, generator):
        self.facts, self.grid = generator.facts, generator.grid
        self.image, self.identity = generator.image, generator.identity

    def decode(self, latents, labels=None):
        return (np.full(self.grid.shape, value, np.float32) for value in latents[:, 0])


def write_flat(run, marking, folder):
    from hagan_clinic.api.generators import load_generator

    values = np.array([0.1, 0.2])
    latents = np.repeat(values[:, None], 8, 1).astype(np.float32)
    series = VolumeSeries("walk", "flat", latents, "predicted", values, ["one", "two"])
    write_series(series, folder, Flat(load_generator(run, "cpu")), None, marking)
    return rows_of(folder)


def test_a_label_that_a_step_lacks_has_no_volume_and_an_unknown_share_is_left_empty(ct, tmp_path):
    def step_of(volume):
        return np.full(volume.shape, round(10 * float(volume[0, 0, 0])))

    ml = "7077.89"  # 32 voxels of 6 mm a side
    rows = write_flat(ct[0], LabelVolumes(step_of, (6, 6, 6)), tmp_path / "labels")
    assert [(row["label_1_ml"], row["label_2_ml"]) for row in rows] == [(ml, "0"), ("0", ml)]
    rows = write_flat(ct[0], EmphysemaShare(WINDOW, (6, 6, 6)), tmp_path / "ct")
    assert [(row["lung_ml"], row["emphysema_percent"]) for row in rows] == [("0", "")] * 2
    sidecar = json.loads((tmp_path / "ct" / "walk_00.json").read_text())
    assert sidecar["series"]["emphysema_percent"] is None


def test_of_very_many_labels_the_pictures_name_the_largest(ct, monkeypatch, tmp_path):
    def many(volume):
        labels = np.zeros(volume.shape, np.int64)
        for label in range(1, 3 * LEGEND):
            labels.flat[label * 100 : label * 100 + label] = label
        return labels

    steps = []
    draw = pictures.draw_montage

    def recorded(given, *others):
        steps.extend(given)
        return draw(given, *others)

    monkeypatch.setattr(pictures, "draw_montage", recorded)
    rows = write_flat(ct[0], LabelVolumes(many, (10, 10, 10)), tmp_path / "labels")
    assert len(rows[0]) == 3 + 3 * LEGEND - 1
    lines = [line for _, line in steps[0].legend]
    assert lines[0] == f"label {2 * LEGEND}: {2 * LEGEND} ml"
    assert lines[-1] == f"and {2 * LEGEND - 1} more"


def test_labels_lie_where_the_plane_shows_what_they_mark():
    volume = np.zeros((32, 40, 24), np.float32)
    volume[14:18, 25:30, 3:8] = 1
    labels = 5 * volume.astype(np.int64)
    for plane, marked in zip(
        pictures.middle_planes(volume), pictures.middle_labels(labels), strict=True
    ):
        np.testing.assert_array_equal(marked == 5, plane == 255)
    bare = pictures.Step(pictures.middle_planes(volume), ("one",))
    step = pictures.Step(bare.planes, ("one",), pictures.middle_labels(labels))
    before, after = (np.asarray(pictures.draw_montage([s], "t", "f")) for s in (bare, step))
    changed = (before != after).any(-1)
    factor = round(pictures.PIXELS / 40)
    # Only the axial plane, at its half, goes through what is marked.
    assert changed.sum() == factor**2 * 5 * 5
    assert (before[changed] > 150).mean() > 0.8


@pytest.mark.parametrize(
    ("labels", "affine", "message"),
    [
        ("values[:-1] > 0.2", "image.affine", "expected the image's"),
        ("values > 0.2", "2 * image.affine", "expected the image's"),
        ("values + 0.25", "image.affine", "no whole numbers"),
        ("nothing", "image.affine", "it said: NameError: name 'nothing' is not defined"),
    ],
)
def test_a_segmenter_that_fails_is_told_of_and_leaves_no_files(
    hagan, unconditional_run, direction, make_segmenter, tmp_path, labels, affine, message
):
    segmenter = make_segmenter(labels, affine)
    walk = ("walk", unconditional_run, direction, "--steps", 2, "-o", tmp_path / "walk")
    assert message in hagan(*walk, "--segmenter", segmenter, code=3).stderr
    assert not (tmp_path / "walk").exists()


def test_what_cannot_be_started_or_measured_is_named_in_one_line(
    hagan, unconditional_run, direction, make_segmenter, monkeypatch, tmp_path
):
    unstartable = make_segmenter("", first="no interpreter")
    refused = ("--segmenter", unstartable, "--measure-by", "emphysema")
    walk = ("walk", unconditional_run, direction, "--steps", 2, "-o", tmp_path / "walk")
    for code, message, *options in (
        (3, "cannot be started: Exec format error", "--segmenter", unstartable),
        (3, "no such program", "--segmenter", "no-such-segmenter --fast"),
        (3, "ended with 1 and wrote no label map", "--segmenter", "false"),
        (2, "both draw labels", *refused),
        (2, "--measure-by tissues both draw labels", *refused[:3], "tissues"),
    ):
        assert message in hagan(*walk, *options, code=code).stderr
        assert not (tmp_path / "walk").exists()
    monkeypatch.setattr("hagan_clinic.runtime.synthesis.Generator.decode", None)
    result = hagan(*walk, "--measure-by", "emphysema", code=3)
    assert "measured in chest CT" in result.stderr
    assert "it has no window" in result.stderr
