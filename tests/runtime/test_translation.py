import errno
import json
import os
import subprocess
import sys
from io import BytesIO

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from hagan_clinic.errors import DeviceError, InputError, ModelError, OutputError
from hagan_clinic.imageio import read
from hagan_clinic.runtime import Translator, translate, translation
from hagan_clinic.runtime.footprint import footprint
from hagan_clinic.volume import Volume, crop_or_pad, to_canonical

# Oblique, mirrored, anisotropic: nothing that a mistaken axis order would survive.
AFFINE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.2, -0.1, 0.15) @ np.diag([-1.5, 2.5, 2.0]), [80, -110, -60]
)


def _head(seed=0, shape=(100, 64, 72)):
    """A blurred ball of tissue with structure, in scanner units."""
    rng = np.random.default_rng(seed)
    places = np.indices(shape) - np.array(shape).reshape(3, 1, 1, 1) / 2
    radius = np.linalg.norm(places / (np.array(shape).reshape(3, 1, 1, 1) / 2), axis=0)
    texture = np.kron(rng.uniform(300, 900, [n // 4 + 1 for n in shape]), np.ones((4, 4, 4)))
    texture = texture[: shape[0], : shape[1], : shape[2]]
    return np.where(radius < 0.85, texture, 0).astype(np.int16)


@pytest.fixture
def scan(tmp_path):
    image = nib.Nifti1Image(_head(), AFFINE)
    image.set_sform(AFFINE, code=4)
    image.set_qform(AFFINE, code=1)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, tmp_path / "t1.nii.gz")
    return tmp_path / "t1.nii.gz"


def test_result_has_the_source_s_grid_and_header(scan, toy_generator):
    out = scan.with_name("flair.nii.gz")
    result = translate(scan, out, model=toy_generator, device="cpu")
    source, written = nib.load(scan), nib.load(out)
    assert written.shape == source.shape
    assert np.array_equal(written.affine, source.affine)
    for field in ("sform_code", "qform_code", "xyzt_units"):
        assert written.header[field] == source.header[field]
    assert np.array_equal(written.get_qform(), source.get_qform())
    assert written.get_data_dtype() == np.float32
    assert np.array_equal(written.get_fdata(dtype=np.float32), result.volume.array)
    assert result.volume.array.min() >= 0
    assert result.volume.array.max() <= 1


def test_a_scan_is_opened_three_times_and_classified_once(scan, toy_generator, monkeypatch):
    """To see what kind it is, to read it, and for its hash."""
    opened, classified = [], []
    path_open, is_series = type(scan).open, translation.is_series
    monkeypatch.setattr(
        type(scan), "open", lambda self, *a, **k: (opened.append(self), path_open(self, *a, **k))[1]
    )
    monkeypatch.setattr(
        translation, "is_series", lambda path: (classified.append(path), is_series(path))[1]
    )
    out = scan.with_name("flair.nii.gz")
    translate(scan, out, uncertainty=scan.with_name("u.nii.gz"), model=toy_generator, device="cpu")
    assert classified == [scan]
    assert 1 <= opened.count(scan) <= 3


def test_volume_in_memory_gives_what_its_file_gives(scan, toy_generator):
    from_file = translate(scan, model=toy_generator, device="cpu")
    volume = read(scan)
    from_memory = translate(volume, model=toy_generator, device="cpu")
    assert np.array_equal(from_file.volume.array, from_memory.volume.array)
    assert np.array_equal(from_memory.volume.affine, volume.affine)
    assert [path.name for path in scan.parent.iterdir()] == ["t1.nii.gz"]


def test_slabs_under_max_memory_give_the_whole_volume_s_result(scan, toy_generator, monkeypatch):
    # So that the limit is the network's alone, whatever the process has loaded meanwhile.
    monkeypatch.setattr("hagan_clinic.runtime.memory.resident", lambda: 0)
    whole = translate(scan, model=toy_generator, device="cpu")
    limited = translate(scan, model=toy_generator, device="cpu", max_memory="42MiB")
    assert whole.report["network"]["slabs"] == 1
    assert limited.report["network"]["slabs"] > 2
    for name in ("volume", "uncertainty"):
        pair = [getattr(result, name).array for result in (whole, limited)]
        assert np.abs(pair[0] - pair[1]).max() < 1e-4


def test_peak_stays_under_max_memory(make_generator, tmp_path):
    """A fresh process, a volume that whole would take twice the limit."""
    limit = 380 * 2**20
    scan, report = tmp_path / "t1.nii", tmp_path / "r.json"
    nib.save(nib.Nifti1Image(_head(shape=(160, 160, 128)), np.eye(4)), scan)
    model = make_generator(tmp_path / "toy.onnx", spacing=(1.0, 1.0, 1.0))
    code = (
        "import sys; from hagan_clinic.runtime import translate\n"
        "scan, model, report, limit = sys.argv[1:]\n"
        "out = report.replace('r.json', 'flair.mha')\n"
        "translate(scan, out, model=model, report=report, max_memory=limit, device='cpu')"
    )
    arguments = [str(part) for part in (scan, model, report, limit)]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    told = json.loads(report.read_text())
    assert told["network"]["slabs"] > 1
    assert told["memory"]["peak_above_start_bytes"] < limit


def test_limit_counts_what_is_held_beside_the_network(make_generator, tmp_path, monkeypatch):
    """A large scan, and a network at 8 mm that takes next to nothing."""
    monkeypatch.setattr("hagan_clinic.runtime.memory.resident", lambda: 0)
    model = make_generator(tmp_path / "coarse.onnx", spacing=(8.0, 8.0, 8.0))
    source = Volume(_head(shape=(128, 128, 128)).astype(np.float32), np.eye(4))
    beside = footprint(source.grid, (8.0, 8.0, 8.0), channels=1)
    assert beside.restoring > beside.preparing
    for limit in (beside.preparing - 2**20, beside.restoring):
        with pytest.raises(DeviceError, match="raise --max-memory by"):
            translate(source, model=model, device="cpu", max_memory=limit)
    enough = beside.restoring + 2**20
    assert translate(source, model=model, device="cpu", max_memory=enough)


def test_too_little_memory_for_any_slab_is_an_error_that_says_how_much(scan, toy_generator):
    with pytest.raises(DeviceError, match=r"raise --max-memory by \d+ MiB or more"):
        translate(scan, model=toy_generator, device="cpu", max_memory="1MiB")


def test_uncertainty_is_the_half_width_in_output_units(scan, make_generator, tmp_path):
    single, double = (
        translate(scan, model=make_generator(tmp_path / f"{f}.onnx", factor=f), device="cpu")
        for f in (0.2, 0.4)
    )
    assert np.allclose(double.uncertainty.array, 2 * single.uncertainty.array, atol=1e-6)
    # The toy's scale lies in exp([-1, 1]), and units of [-1, 1] are twice as wide as of [0, 1].
    inside = single.uncertainty.array[45:55, 28:36, 32:40]
    assert 0.1 * np.exp(-1) <= inside.min() < inside.max() <= 0.1 * np.exp(1)
    assert np.array_equal(single.volume.array, double.volume.array)


def test_sidecars_tell_what_the_outputs_are(scan, toy_generator):
    out, map_ = scan.with_name("flair.nii.gz"), scan.with_name("u.nii.gz")
    result = translate(scan, out, model=toy_generator, uncertainty=map_, device="cpu")
    sidecar = json.loads(scan.with_name("flair.json").read_text())
    assert sidecar["notice"] == "SYNTHETIC, NOT FOR DIAGNOSIS"
    assert sidecar["content"] == "flair synthesised from t1"
    assert sidecar["model"]["licence"] == "CC0-1.0"
    assert sidecar["model"]["sha256"] == result.report["model"]["sha256"]
    assert sidecar["sources"]["t1"]["file"] == "t1.nii.gz"
    assert len(sidecar["sources"]["t1"]["sha256"]) == 64
    assert "0.5 and 99.5 percentiles" in sidecar["scale"]
    assert (
        "half-width of the 90 % interval"
        in json.loads(map_.with_name("u.json").read_text())["scale"]
    )
    told = json.loads(map_.with_name("u.json").read_text())["scale"]
    assert "1, the whole range, where tissue was not synthesised" in told
    for path in (out, map_):
        description = bytes(nib.load(path).header["descrip"])
        assert b"SYNTHETIC NOT FOR DIAGNOSIS" in description


def test_synthetic_result_is_not_translated_again(scan, toy_generator):
    out = scan.with_name("flair.nii.gz")
    translate(scan, out, model=toy_generator, device="cpu")
    scan.with_name("flair.json").unlink()
    with pytest.raises(InputError, match="this image is synthetic"):
        translate(out, model=toy_generator, device="cpu")


def test_contrast_enhanced_scan_needs_to_be_allowed(scan, toy_generator):
    enhanced = scan.rename(scan.with_name("t1ce.nii.gz"))
    with pytest.raises(InputError, match="--allow-contrast"):
        translate(enhanced, model=toy_generator, device="cpu")
    assert translate(enhanced, model=toy_generator, device="cpu", allow_contrast=True)


def test_a_sidecar_that_cannot_be_read_is_warned_of_in_the_report(scan, toy_generator):
    scan.with_name("t1.json").write_text('{"SeriesDescription": ')
    report = translate(scan, model=toy_generator, device="cpu").report
    assert "a sidecar that cannot be read" in report["warnings"][0]


def test_report_tells_what_ran_and_what_was_warned_of(scan, toy_generator, tmp_path):
    report = tmp_path / "run.json"
    result = translate(scan, model=toy_generator, device="auto", report=report)
    told = json.loads(report.read_text())
    assert told["device"]["ran"] == "cpu"
    assert told["device"]["providers"] == ["CPUExecutionProvider"]
    assert told["device"]["note"] == ""
    assert told["versions"]["onnx"]
    assert told["sources"]["t1"]["shape"] == [100, 64, 72]
    assert told["network"]["slabs"] == 1
    assert set(told["seconds"]) > {"load", "read", "prepare", "network", "restore", "total"}
    assert told["memory"]["peak_bytes"] > 10**7
    assert any("does not look like a T1" in warning for warning in told["warnings"])
    assert told["warnings"] == list(result.report["warnings"])


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_two_onnxruntime_packages_are_refused_on_every_device(
    scan, toy_generator, monkeypatch, device
):
    both = {"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1"}
    monkeypatch.setattr("hagan_clinic.runtime.providers.runtime_packages", lambda: both)
    with pytest.raises(DeviceError, match="both onnxruntime and onnxruntime-gpu are installed"):
        translate(scan, model=toy_generator, device=device)


def test_tissue_outside_the_box_is_0_with_uncertainty_1_and_air_there_is_0_with_0(
    scan, make_generator, tmp_path
):
    model = make_generator(tmp_path / "boxed.onnx", box=(48, 48, 48), factor=0.2)
    mask = read(scan).with_array(np.zeros((100, 64, 72), np.float32))
    mask.array[5:15, 28:36, 32:40] = 1  # at one end of the head
    result = translate(scan, model=model, device="cpu", mask=mask)
    # 48 voxels of 2 mm around slice 10 of 1.5 mm reach to slice 42; one more is interpolated.
    seen, unseen = slice(0, 40), slice(44, None)
    tissue = read(scan).array[unseen] > 0
    assert (result.uncertainty.array[unseen][tissue] == 1).all()
    assert (result.uncertainty.array[unseen][:, :4, :4] == 0).all()
    assert set(np.unique(result.uncertainty.array[unseen])) == {0, 1}
    assert (result.volume.array[unseen] == 0).all()
    assert result.uncertainty.array[seen, 28:36, 32:40].max() < 0.3
    assert result.volume.array[seen, 28:36, 32:40].min() > 0
    assert not any("lies outside" in warning for warning in result.report["warnings"])
    unmasked = translate(scan, model=model, device="cpu")
    (cut,) = (warning for warning in unmasked.report["warnings"] if "lies outside" in warning)
    assert "of the head's top 90 mm lies outside the 96 x 96 x 96 mm" in cut


def test_a_box_that_grows_leaves_no_frame_around_a_head(scan, make_generator, tmp_path):
    model = make_generator(tmp_path / "growing.onnx", box=(64, 64, 64), box_grows=True, factor=0.2)
    whole = make_generator(tmp_path / "whole.onnx", factor=0.2)
    result, expected = (translate(scan, model=one, device="cpu") for one in (model, whole))
    assert result.report["network"]["input_shape"] == [80, 80, 80]  # (D, H, W) at 2 mm
    head = read(scan).array > 0
    assert result.uncertainty.array[head].max() < 0.3
    assert not (result.uncertainty.array == 1).any()
    assert result.volume.array[head].min() > 0
    assert result.report["warnings"] == expected.report["warnings"]


def test_where_a_neck_is_not_synthesised_its_edge_is_sharp(make_generator, tmp_path):
    """No voxel between the network's half-widths and 1: they would be drawn as a bright line."""
    model = make_generator(tmp_path / "growing.onnx", box=(48, 48, 48), box_grows=True, factor=0.2)
    array = np.zeros((60, 60, 160), np.float32)  # RAS at 1.5 mm: a head above a neck
    array[10:50, 10:50, 60:155] = np.random.default_rng(0).uniform(300, 900, (40, 40, 95))
    array[20:40, 20:40, :60] = np.random.default_rng(1).uniform(300, 900, (20, 20, 60))
    result = translate(Volume(array, np.diag([1.5, 1.5, 1.5, 1])), model=model, device="cpu")
    half_width = result.uncertainty.array
    assert (half_width[20:40, 20:40, :40] == 1).all()
    assert (half_width[:8, :, :40] == 0).all()
    assert set(np.unique(half_width[half_width > 0.3])) == {1}


def test_preview_is_written(scan, toy_generator, tmp_path):
    translate(scan, model=toy_generator, device="cpu", preview=tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_a_notebook_shows_the_preview_and_a_line_instead_of_arrays(scan, toy_generator, tmp_path):
    path = tmp_path / "p.png"
    result = translate(scan, preview=path, model=toy_generator, device="cpu")
    content = result._repr_png_()
    with Image.open(path) as written, Image.open(BytesIO(content)) as shown:
        assert np.array_equal(np.asarray(shown), np.asarray(written))
    assert len(content) < 2**20
    grid = "100x64x72 voxels of 1.5x2.5x2 mm"
    said = f"SYNTHETIC, NOT FOR DIAGNOSIS: flair from t1 by toy, {grid}, warnings: 1"
    assert repr(result) == said
    assert np.array_equal(result.sources["t1"].array, read(scan).array)


def test_mask_decides_the_intensity_window(scan, toy_generator):
    source = read(scan)
    mask = source.with_array((source.array > 600).astype(np.float32))
    plain = translate(source, model=toy_generator, device="cpu")
    masked = translate(source, model=toy_generator, device="cpu", mask=mask)
    assert np.abs(plain.volume.array - masked.volume.array).max() > 0.01


def test_mask_may_have_its_axes_in_another_order(scan, toy_generator):
    source = read(scan)
    mask = source.with_array((source.array > 600).astype(np.float32))
    turned = to_canonical(mask)
    assert turned.shape != mask.shape
    one, other = (
        translate(source, model=toy_generator, device="cpu", mask=given).volume.array
        for given in (mask, turned)
    )
    assert np.array_equal(one, other)


@pytest.fixture
def two_sources(make_generator, tmp_path):
    return make_generator(tmp_path / "two.onnx", sources=("t1", "t2"))


def test_several_sources_are_taken_by_name_in_any_order(scan, two_sources):
    t1 = read(scan)
    t2 = t1.with_array(np.where(t1.array > 0, 1000 - t1.array, 0))
    one, other, swapped = (
        translate(sources, model=two_sources, device="cpu").volume.array
        for sources in ({"t1": t1, "t2": t2}, {"t2": t2, "t1": t1}, {"t1": t2, "t2": t1})
    )
    assert np.array_equal(one, other)
    assert not np.array_equal(one, swapped)


def test_wrong_number_of_sources_is_named(scan, two_sources, toy_generator):
    with pytest.raises(InputError, match=r"needs 2 \(t1, t2\): give --source t1=FILE --source t2="):
        translate(scan, model=two_sources, device="cpu")
    with pytest.raises(InputError, match="given t1, t3, and this model translates t1 \\+ t2"):
        translate({"t1": scan, "t3": scan}, model=two_sources, device="cpu")
    with pytest.raises(InputError, match="given t2, and this model translates t1 to flair"):
        translate({"t2": scan}, model=toy_generator, device="cpu")


def test_sources_may_have_their_axes_in_another_order(scan, two_sources):
    t1 = read(scan)
    t2 = t1.with_array(np.where(t1.array > 0, 1000 - t1.array, 0))
    one, other = (
        translate({"t1": t1, "t2": given}, model=two_sources, device="cpu").volume.array
        for given in (t2, to_canonical(t2))
    )
    assert np.array_equal(one, other)


@pytest.mark.parametrize("shape", [(100, 64, 1), (100, 64, 2), (3, 64, 72), (100, 4, 72)])
def test_a_fragment_of_a_head_is_refused(shape, scan, toy_generator):
    whole = read(scan)
    middle = [(all_ - some) // 2 for all_, some in zip(whole.shape, shape, strict=True)]
    fragment = crop_or_pad(whole, middle, shape)
    with pytest.raises(InputError, match=r"t1 has a field of view of .* it is a fragment"):
        translate(fragment, model=toy_generator, device="cpu")


def test_sources_on_different_grids_are_refused(scan, two_sources):
    t1 = read(scan)
    moved = Volume(t1.array, t1.affine @ nib.affines.from_matvec(np.eye(3), [5, 0, 0]))
    with pytest.raises(InputError, match="different grids"):
        translate({"t1": t1, "t2": moved}, model=two_sources, device="cpu")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((40, 40, 40), np.int16), "the image is empty"),
        (np.full((40, 40, 40), 7, np.int16), "all voxels have the value 7"),
    ],
)
def test_images_without_contrast_are_refused_and_leave_nothing(
    tmp_path, toy_generator, array, message
):
    nib.save(nib.Nifti1Image(array, np.diag([4.0, 4, 4, 1])), tmp_path / "t1.nii.gz")
    with pytest.raises(InputError, match=message):
        translate(
            tmp_path / "t1.nii.gz",
            tmp_path / "flair.nii.gz",
            model=toy_generator,
            report=tmp_path / "r.json",
            device="cpu",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["t1.nii.gz"]


@pytest.mark.parametrize(
    "options", [{"max_memory": "lots"}, {"max_memory": 0}, {"threads": 0}, {"threads": -2}]
)
def test_amounts_that_make_no_sense_are_refused(toy_generator, options):
    with pytest.raises(InputError, match="expected"):
        Translator(toy_generator, "cpu", **options)


def test_missing_model_is_named(scan):
    with pytest.raises(ModelError, match=r"none\.onnx: cannot read the model"):
        translate(scan, model="none.onnx", device="cpu")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left")])
@pytest.mark.parametrize("stage", ["fsync", "preview"])
def test_nothing_is_left_when_writing_stops(scan, toy_generator, monkeypatch, stop, stage):
    def raising(*_):
        raise stop

    if stage == "fsync":
        monkeypatch.setattr(os, "fsync", raising)
    else:
        monkeypatch.setattr("hagan_clinic.runtime.preview.draw_preview", raising)
    with pytest.raises((KeyboardInterrupt, OutputError)):
        translate(
            scan,
            scan.with_name("flair.nii.gz"),
            model=toy_generator,
            uncertainty=scan.with_name("u.nii.gz"),
            preview=scan.with_name("p.png"),
            report=scan.with_name("r.json"),
            device="cpu",
        )
    assert [path.name for path in scan.parent.iterdir()] == ["t1.nii.gz"]


def test_full_disk_is_named_and_leaves_nothing(scan, toy_generator, small_disk):
    with pytest.raises(OutputError, match=r"cannot write .*/small/flair\.nii: the disk is full"):
        translate(scan, small_disk / "flair.nii", model=toy_generator, device="cpu")
    assert list(small_disk.iterdir()) == []


def test_a_chest_is_judged_as_a_whole_though_the_box_shows_a_part(
    test_data, make_generator, tmp_path
):
    model = make_generator(tmp_path / "boxed.onnx", spacing=(4.0, 4.0, 4.0), box=(48, 48, 48))
    chest = test_data / "ct" / "LIDC-IDRI-0314_2mm.nii.gz"
    litres, cut = translate(chest, model=model, device="cpu").report["warnings"]
    assert "18.4 litres of tissue, expected 0.3 to 8" in litres  # the box holds 7.1
    assert "lies outside the 192 x 192 x 192 mm that the model sees" in cut


def test_real_patient_keeps_grid_and_gets_no_warning(test_data, toy_generator):
    folder = test_data / "pairs_1mm" / "OPENMS-patient07"
    path = folder / "OPENMS-patient07_t1.nii.gz"
    result = translate(path, model=toy_generator, device="cpu")
    source = nib.load(path)
    assert result.volume.shape == source.shape
    assert np.array_equal(result.volume.affine, source.affine)
    assert result.report["warnings"] == []
