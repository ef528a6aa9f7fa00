import errno
import json
import os
from io import BytesIO

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from hagan_clinic.errors import DeviceError, ModelError, OutputError
from hagan_clinic.imageio import read
from hagan_clinic.runtime import translate, translation
from hagan_clinic.volume import Volume


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
