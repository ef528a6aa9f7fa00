import csv
import json

import numpy as np
import pytest
from PIL import Image

from hagan_clinic.errors import InputError, OutputError
from hagan_clinic.imageio import read, read_description
from hagan_clinic.runtime.exploration import ThresholdVolume, pictures
from hagan_clinic.runtime.exploration.series import VolumeSeries, write_series

STEPS = 4
BALL_ML = [4 / 3 * np.pi * radius**3 * 0.027 for radius in (8, 9, 10, 11)]


def series(steps=STEPS, **changed):
    latents = np.zeros((steps, 6), np.float32)
    latents[:, 0] = np.arange(steps)
    facts = {
        "name": "walk",
        "title": "brain_ml from 58 to 151, seed 0",
        "latents": latents,
        "column": "predicted",
        "values": np.linspace(58, 151, steps),
        "captions": [f"predicted brain_ml: {step}" for step in range(steps)],
        "sources": {"start": "seed 0"},
    }
    return VolumeSeries(**{**facts, **changed})


@pytest.fixture
def written(balls, tmp_path):
    measure = ThresholdVolume(0.3, balls.grid.spacing)
    return tmp_path / "walk", write_series(series(), tmp_path / "walk", balls, measure)


def test_every_step_is_a_volume_on_the_models_grid_with_its_marks(written, balls):
    folder, _ = written
    for step in range(STEPS):
        path = folder / f"walk_{step:02}.nii.gz"
        volume = read(path)
        assert volume.grid.same_as(balls.grid)
        assert np.unique(volume.array) == pytest.approx([0, 0.8])
        assert "SYNTHETIC NOT FOR DIAGNOSIS" in read_description(path)
        sidecar = json.loads((folder / f"walk_{step:02}.json").read_text())
        assert sidecar["notice"] == "SYNTHETIC, NOT FOR DIAGNOSIS"
        assert sidecar["synthetic"] is True
        assert sidecar["model"]["weights_sha256"] == balls.identity
        assert sidecar["sources"] == {"start": "seed 0"}
        assert sidecar["series"]["measured"] == pytest.approx(BALL_ML[step], rel=0.03)


def test_the_measured_values_are_those_of_the_volumes_and_stand_in_the_table(written):
    folder, measured = written
    assert measured == pytest.approx(BALL_ML, rel=0.03)
    rows = list(csv.DictReader((folder / "walk.csv").open()))
    assert [row["file"] for row in rows] == [f"walk_{step:02}.nii.gz" for step in range(STEPS)]
    assert [float(row["predicted"]) for row in rows] == pytest.approx([58, 89, 120, 151])
    assert [float(row["measured"]) for row in rows] == pytest.approx(measured, rel=1e-5)


def test_the_pictures_say_what_they_are_and_show_every_step(written, monkeypatch):
    folder, _ = written
    with Image.open(folder / "walk.png") as montage:
        assert montage.text["Title"].startswith("SYNTHETIC, NOT FOR DIAGNOSIS")
    with Image.open(folder / "walk.gif") as animation:
        assert animation.info["comment"].startswith(b"SYNTHETIC, NOT FOR DIAGNOSIS")
        assert animation.info["loop"] == 0
        assert animation.n_frames == 2 * STEPS - 2
        bright = []
        for frame in range(STEPS):
            animation.seek(frame)
            bright.append(np.count_nonzero(np.asarray(animation.convert("L")) > 180))
    assert bright == sorted(bright)
    assert bright[0] < bright[-1]


def test_the_notice_and_both_values_are_drawn(balls, tmp_path, monkeypatch):
    from PIL import ImageDraw

    drawn = []
    original = ImageDraw.ImageDraw.text

    def text(self, place, words, *others, **named):
        drawn.append(words)
        return original(self, place, words, *others, **named)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    measure = ThresholdVolume(0.3, balls.grid.spacing)
    measured = write_series(series(), tmp_path / "walk", balls, measure)
    assert drawn.count("SYNTHETIC, NOT FOR DIAGNOSIS") == 1 + STEPS
    for step in range(STEPS):
        assert drawn.count(f"predicted brain_ml: {step}") == 2
        assert drawn.count(f"measured volume above 0.3: {measured[step]:.4g} ml") == 2


def test_without_a_measure_the_table_has_none(balls, tmp_path):
    assert write_series(series(), tmp_path / "walk", balls) == []
    assert (tmp_path / "walk" / "walk.csv").read_text().startswith("step,file,predicted\n")


def test_a_series_written_again_is_the_same_to_the_last_byte(balls, tmp_path):
    for name in ("one", "other"):
        write_series(series(), tmp_path / name, balls)
    for one in (tmp_path / "one").iterdir():
        assert one.read_bytes() == (tmp_path / "other" / one.name).read_bytes(), one.name


def test_results_that_exist_are_kept_unless_told_otherwise(balls, tmp_path):
    write_series(series(), tmp_path, balls)
    before = (tmp_path / "walk.csv").read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        write_series(series(values=np.zeros(STEPS)), tmp_path, balls)
    assert (tmp_path / "walk.csv").read_bytes() == before
    write_series(series(values=np.zeros(STEPS)), tmp_path, balls, overwrite=True)
    assert (tmp_path / "walk.csv").read_bytes() != before


def test_a_longer_series_is_not_mixed_with_a_shorter_one(balls, tmp_path):
    write_series(series(), tmp_path, balls)
    with pytest.raises(OutputError, match=r"walk_03\.json: is of a longer walk"):
        write_series(series(3), tmp_path, balls, overwrite=True)


def test_a_failure_leaves_neither_files_nor_folder(broken, tmp_path):
    with pytest.raises(MemoryError):
        write_series(series(), tmp_path / "walk", broken)
    assert list(tmp_path.iterdir()) == []


def test_latents_of_another_length_are_refused_before_any_work(balls, tmp_path):
    with pytest.raises(InputError, match="expected"):
        write_series(series(latents=np.zeros((4, 5), np.float32)), tmp_path / "walk", balls)
    assert list(tmp_path.iterdir()) == []


def test_planes_are_in_radiological_convention():
    volume = np.zeros((9, 11, 13), np.float32)
    volume[4, -1, 6] = 1  # anterior
    volume[-1, 5, 6] = 1  # superior
    volume[4, 5, -1] = 1  # the patient's right
    axial, coronal, sagittal = pictures.middle_planes(volume)
    assert [tuple(plane.shape) for plane in (axial, coronal, sagittal)] == [
        (11, 13),
        (9, 13),
        (9, 11),
    ]
    assert axial[0, 6] == axial[5, 0] == 255
    assert coronal[0, 6] == coronal[4, 0] == 255
    assert sagittal[0, 5] == sagittal[4, 0] == 255


def test_many_steps_go_into_rows_that_show_every_caption():
    planes = pictures.middle_planes(np.zeros((32, 32, 32), np.float32))
    steps = [pictures.Step(planes, (f"step {n}",)) for n in range(20)]
    few = pictures.draw_montage(steps[: pictures.COLUMNS], "title", "footer")
    many = pictures.draw_montage(steps, "title", "footer")
    assert many.width == few.width
    assert 2 * few.height < many.height < 3 * few.height
