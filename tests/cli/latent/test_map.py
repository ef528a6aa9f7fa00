import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hagan_clinic.api.generators import load_encoder, load_generator
from hagan_clinic.evaluation.embedding import embed
from hagan_clinic.imageio import read, write
from hagan_clinic.runtime.latents import draw_latents, read_latents


def coordinates(path):
    rows = list(csv.DictReader(path.open()))
    return {(row["kind"], row["name"]): (float(row["x"]), float(row["y"])) for row in rows}


def test_real_patients_and_samples_are_drawn_and_listed(
    hagan, unconditional_run, latents, names, tmp_path
):
    arguments = ("--real", latents, "--method", "pca", "--samples", 5, "--device", "cpu")
    result = hagan("map", unconditional_run, *arguments, "-o", tmp_path / "map.png")
    assert "12 real, 5 synthetic" in result.output
    with Image.open(tmp_path / "map.png") as picture:
        assert "SYNTHETIC, NOT FOR DIAGNOSIS" in picture.text["Title"]
    points = coordinates(tmp_path / "map.csv")
    assert [name for kind, name in points if kind == "real"] == names
    assert [name for kind, name in points if kind == "synthetic"] == [
        f"sample_{n:04d}" for n in range(1, 6)
    ]
    generator, encoder = (load(unconditional_run, "cpu") for load in (load_generator, load_encoder))
    images = generator.decode(draw_latents(5, generator.latent, 0))
    samples = np.stack([encoder.encode(2 * image - 1) for image in images])
    plane = embed({"real": read_latents(latents).latents, "synthetic": samples}, "pca", 0)
    expected = np.concatenate(list(plane.values()))
    np.testing.assert_allclose(list(points.values()), expected, rtol=1e-4, atol=1e-6)


def test_a_cohort_is_encoded_to_the_same_map_by_run_and_exported_files(
    hagan, unconditional_run, unconditional_parts, latents, twelve, tmp_path
):
    generator, encoder = (unconditional_parts[part] for part in ("generator", "encoder"))
    common = ("--method", "pca", "--samples", 4, "--seed", 3)
    hagan("map", unconditional_run, "--real", latents, *common, "-o", tmp_path / "a.png")
    other = (generator, "--encoder", encoder, "--real", twelve)
    hagan("map", *other, *common, "-o", tmp_path / "b.png")
    one, two = (coordinates(tmp_path / f"{name}.csv") for name in "ab")
    assert one.keys() == two.keys()
    scale = np.abs(list(one.values())).max()
    np.testing.assert_allclose(list(one.values()), list(two.values()), atol=1e-2 * scale)


def test_bad_input_is_named_in_one_line(
    hagan, unconditional_run, unconditional_parts, make_unconditional_run, latents, tmp_path
):
    make_unconditional_run(tmp_path / "stranger")
    (tmp_path / "there.csv").write_text("kept")
    generator = unconditional_parts["generator"]
    run = unconditional_run
    for model, code, message, *options in (
        (tmp_path / "stranger", 3, "latents of another model"),
        (run, 3, "the encoder of another model", "--encoder", tmp_path / "stranger"),
        (generator, 2, "give the encoder with --encoder"),
        (run, 3, "found 2 synthetic volumes: expected 4 or more", "--samples", 2),
        (run, 6, "there.csv: exists already", "-o", tmp_path / "there.png"),
        (run, 6, "expected .png", "-o", tmp_path / "map.pdf"),
        (run, 2, "--mask goes with", "--mask", "mask.nii.gz"),
    ):
        arguments = ("--real", latents, "-o", tmp_path / "map.png", *options)
        result = hagan("map", model, *arguments, code=code)
        assert message in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stranger", "there.csv"]


def test_too_few_volumes_are_refused_before_any_is_encoded(
    hagan, unconditional_run, twelve, tmp_path, monkeypatch
):
    three = tmp_path / "three.csv"
    three.write_text("".join(twelve.read_text().splitlines(keepends=True)[:4]))
    for name in ("Encoder.prepare", "Encoder.encode", "Generator.decode"):
        monkeypatch.setattr(f"hagan_clinic.runtime.synthesis.{name}", None)
    for cohort, message, *options in (
        (three, "found 3 real volumes: expected 4 or more"),
        (three, "found 3 real volumes: expected 4 or more", "--samples", 9),
        (twelve, "found 2 synthetic volumes: expected 4 or more", "--samples", 2),
    ):
        arguments = ("--real", cohort, "-o", tmp_path / "map.png", *options)
        result = hagan("map", unconditional_run, *arguments, code=3)
        assert message in result.stderr


def test_a_map_warns_of_scans_as_encode_does(hagan, unconditional_run, twelve, tmp_path):
    rows = list(csv.DictReader(twelve.open()))[:4]
    scan = read(Path(rows[0]["t1"]))
    wide = scan.affine.copy()
    wide[:3, :3] *= 2
    write(type(scan)(scan.array, wide), tmp_path / "wide.nii.gz")
    rows[0]["t1"] = str(tmp_path / "wide.nii.gz")
    cohort = tmp_path / "bare.csv"
    lines = [f"{row['subject']},{row['t1']}" for row in rows]
    cohort.write_text("\n".join(["subject,t1", *lines]))
    arguments = (unconditional_run, "--real", cohort, "--method", "pca", "-o", tmp_path / "m.png")
    told = hagan("map", *arguments).stderr
    assert "trained on brains without skull, and no brain mask is given for" in told
    assert f"warning: {rows[0]['subject']}: " in told
    assert "outside the box that the model sees" in told


@pytest.mark.parametrize("module", ["sklearn.decomposition", "matplotlib.figure"])
def test_without_the_extra_one_line_says_what_to_install(
    hagan, unconditional_parts, latents, tmp_path, monkeypatch, module
):
    import sys

    monkeypatch.delitem(sys.modules, "hagan_clinic.evaluation.embedding", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    generator, encoder = (unconditional_parts[part] for part in ("generator", "encoder"))
    arguments = ("--encoder", encoder, "--real", latents, "-o", tmp_path / "map.png")
    result = hagan("map", generator, *arguments, code=5)
    assert 'pip install "hagan-clinic[train]"' in result.stderr
