import csv
import itertools
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import read, write
from hagan_clinic.onnx_export import export_part
from hagan_clinic.runtime.synthesis import onnx_encoder, onnx_generator
from hagan_clinic.training import run
from hagan_clinic.training.curves import draw_curves
from hagan_clinic.training.registry import config_from_dict, gather_settings, read_config
from hagan_clinic.training.run import run_training
from hagan_clinic.unconditional import validation
from hagan_clinic.unconditional.settings import UnconditionalConfig, default_slab
from hagan_clinic.unconditional.trained import load_autoencoder


@pytest.fixture(scope="module")
def settings(small_cohort):
    """Settings that train an unconditional model on the small cohort in seconds."""
    return {
        "mode": "unconditional",
        "data": str(small_cohort),
        "size": (32, 32, 32),
        "spacing": 6.0,
        "slab": 4,
        "steps": 4,
        "batch_size": 2,
        "latent": 4,
        "width": 32,
        "discriminator_width": 32,
        "workers": 0,
        "device": "cpu",
        "validate_every": 2,
        "checkpoint_every": 2,
    }


def train(settings, folder):
    return run_training(UnconditionalConfig(**settings), folder, say=lambda line: None)


@pytest.fixture(scope="module")
def trained(settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return folder, train(settings, folder)


def weights(folder, file="weights"):
    return load_file(folder / "last" / f"{file}.safetensors")


def assert_equal_runs(one, other):
    groups = ("generator", "discriminator", "slab_encoder", "latent_encoder")
    for file in ("weights", "average", *(f"optimizer.{group}" for group in groups)):
        a, b = weights(one, file), weights(other, file)
        assert a.keys() == b.keys()
        assert all((a[key] == b[key]).all() for key in a), file


def test_a_run_trains_all_four_parts_and_validates_them(trained):
    folder, state = trained
    assert state["step"] == 4
    with (folder / "metrics.csv").open() as file:
        names = {row["name"] for row in csv.DictReader(file)}
    losses = {"discriminator", "generator", "slab_encoder", "latent_encoder"}
    assert {f"train/{name}" for name in losses} <= names
    metrics = {"mmd", "ms_ssim_samples", "ms_ssim_real", "reconstruction_psnr"}
    assert metrics <= state["metrics"].keys()
    assert isinstance(read_config(folder), UnconditionalConfig)


def test_a_run_shows_its_curves_and_samples(trained):
    folder, _ = trained
    assert Image.open(folder / "curves.png").size[0] > 1000
    montage = np.asarray(Image.open(folder / "montages" / "step_0000004.png"))
    assert montage.std() > 5


def test_a_run_cut_in_two_is_the_whole_run(trained, settings, tmp_path, monkeypatch):
    whole = run.slab_loader
    with monkeypatch.context() as patch:
        patch.setattr(run, "slab_loader", lambda *a, **k: itertools.islice(whole(*a, **k), 3))
        with pytest.raises(StopIteration):
            train(settings, tmp_path / "run")
    train(settings, tmp_path / "run")
    assert_equal_runs(trained[0], tmp_path / "run")


def test_another_seed_gives_another_run(trained, settings, tmp_path):
    train(settings | {"seed": 1, "steps": 2}, tmp_path / "other")
    key = "autoencoder.generator.trunk.project.weight"
    assert (weights(trained[0])[key] != weights(tmp_path / "other")[key]).any()


def test_the_ablations_train(settings, tmp_path):
    for name, changes in {
        "encoder": {"encoder": False},
        "low": {"low_res_branch": False},
        "r": {"deterministic_r": True},
        "loss": {"encoder_loss_to_generator": True, "gradient_checkpointing": True},
        "prior": {"weight_prior": 10.0, "optimizer": "muon"},
        "bf16": {"precision": "bf16-mixed"},
    }.items():
        state = train(settings | changes | {"steps": 1}, tmp_path / name)
        assert ("reconstruction_psnr" in state["metrics"]) == (name != "encoder")


def test_the_released_variant_is_the_authors_choices():
    given = {"mode": "unconditional", "variant": "released"}
    config = gather_settings(None, [], given)
    assert (config.norm, config.ema, config.weight_reconstruction) == ("group", 0.0, 1.0)
    assert not config.diffaugment and config.augment == {"flip": 0.0, "affine": 0.0}
    assert gather_settings(None, [], given | {"ema": 0.9}).ema == 0.9
    assert (config.steps, config.batch_size) == (80000, 4)
    assert (config.generator_lr, config.discriminator_lr) == (1e-4, 4e-4)


@pytest.fixture
def labelled(small_cohort, tmp_path):
    """A CSV of the cohort with a class in its column ``group``."""
    path = tmp_path / "cohort.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["subject", "t1", "group"])
        for number in range(10):
            image = small_cohort / f"p{number}" / f"p{number}_t1.nii.gz"
            writer.writerow([f"p{number}", image, "ab"[number % 2]])
    return path


def test_class_labels_train_and_are_part_of_the_generator(settings, labelled, tmp_path):
    classes = {"data": str(labelled), "label": "group", "classes": ("a", "b"), "steps": 1}
    state = train(settings | classes, tmp_path / "run")
    assert state["step"] == 1
    project = weights(tmp_path / "run")["autoencoder.generator.trunk.project.weight"]
    assert project.shape[1] == settings["latent"] + 2
    with (tmp_path / "run" / "metrics.csv").open() as file:
        names = {row["name"] for row in csv.DictReader(file)}
    assert {"train/class_real", "train/class_fake"} <= names


@pytest.mark.parametrize(
    "detail",
    [
        {},
        {
            "refinements": 1,
            "discriminator": "patches",
            "low_res_branch": False,
            "diffaugment": False,
            "weight_coarse": 50.0,
            "weight_features": 5.0,
        },
    ],
    ids=["linear", "refined"],
)
def test_a_run_starts_from_the_components_and_is_exported_small(settings, detail, tmp_path):
    wanted = {"end_to_end": True, "components": True, "component_draws": 12, "context": 8} | detail
    quick = {"discriminator_optimizer": "muon", "choose_by": "last", "reconstruction": "huber"}
    lines = []
    config = UnconditionalConfig(**settings | wanted | quick | {"steps": 3})
    state = run_training(config, tmp_path / "run", say=lines.append)
    assert "starting from the components of 12 augmented volumes" in lines
    assert state["best_step"] == 3  # choose_by last: the newest, whatever its figures
    held = weights(tmp_path / "run", "average")
    axes = held["module.generator.trunk.linear.axes"]
    assert axes.shape == (4, 16**3) and axes.any()
    made = {
        part: export_part(tmp_path / "run", tmp_path / f"{part}.onnx", part)
        for part in ("generator", "encoder")
    }
    assert all(one.difference < 1e-3 for one in made.values())
    generator, encoder = onnx_generator(made["generator"].path), onnx_encoder(made["encoder"].path)
    (image,) = generator.decode(np.zeros((1, 4), np.float32))
    assert encoder.encode(2 * image - 1).shape == (4,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": (30, 32, 32)}, "expected at least 32 voxels a side"),
        ({"size": (32, 36, 32)}, "expected multiples of 8 voxels"),
        ({"size": None}, "size is missing"),
        ({"slab": 12}, "divides the 32"),
        ({"width": 40}, "width is 40: expected a positive multiple of 32"),
        ({"latent": 0}, "latent is 0"),
        ({"norm": "batch"}, "norm is 'batch': expected one of position, group"),
        ({"label": "sex"}, "give both"),
        ({"encoder": False, "encoder_loss_to_generator": True}, "needs the encoder"),
        ({"encoder": False, "weight_prior": 1.0}, "weight_prior needs the encoder"),
        ({"weight_prior": 1.0, "batch_size": 1}, "--batch-size is 1: expected 2 or more"),
        ({"components": True}, "components needs end_to_end"),
        ({"adversarial_start": 0.5}, "adversarial_start needs end_to_end"),
        ({"end_to_end": True, "encoder": False}, "end_to_end needs the encoder"),
        ({"choose_by": "reconstruction", "encoder": False}, "choose_by reconstruction needs"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd': expected one of adam, muon"),
        ({"weight_prior": -1.0}, "weight_prior is -1.0: expected 0 or more"),
    ],
)
def test_bad_settings_are_named_before_any_work(settings, changes, message):
    with pytest.raises(InputError, match=message):
        UnconditionalConfig(**(settings | changes))


def test_unknown_labels_are_named_before_any_work(settings, labelled, tmp_path):
    wrong = {"data": str(labelled), "label": "group", "classes": ("a", "c")}
    with pytest.raises(InputError, match=r"p1 has group 'b': expected one of a, c"):
        train(settings | wrong, tmp_path / "run")
    with pytest.raises(InputError, match="no value in the column 'sex'"):
        train(settings | wrong | {"label": "sex"}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_settings_of_the_other_mode_are_refused():
    with pytest.raises(InputError, match="unknown setting 'target'"):
        gather_settings(None, [], {"mode": "unconditional", "target": "flair"})
    with pytest.raises(InputError, match="unknown setting 'latent'"):
        gather_settings(None, [], {"mode": "conditional", "latent": 4})


def test_a_constant_volume_is_named(settings, small_cohort, tmp_path):
    import nibabel as nib

    path = tmp_path / "cohort.csv"
    flat = tmp_path / "flat.nii.gz"
    image = nib.load(small_cohort / "p0" / "p0_t1.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.int16), image.affine), flat)
    files = [flat, *(small_cohort / f"p{n}" / f"p{n}_t1.nii.gz" for n in range(1, 10))]
    lines = ["subject,t1", *(f"p{n},{file}" for n, file in enumerate(files))]
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match="p0: all voxels have the value 0"):
        train(settings | {"data": str(path)}, tmp_path / "run")


def test_curves_need_a_run(tmp_path):
    with pytest.raises(InputError, match=r"is not a metrics\.csv of a run"):
        draw_curves(tmp_path)


def test_the_configuration_survives_json(settings):
    config = UnconditionalConfig(**settings)
    assert config_from_dict(json.loads(config.to_json()), "x") == config


def test_the_stripped_form_is_what_is_learnt(test_data, tmp_path):
    """Real heads come with skull and mask; the prepared volumes of a run have no skull."""
    from hagan_clinic.data.cohort import find_cohort
    from hagan_clinic.data.prepared import prepare_cohort
    from hagan_clinic.data.queue import slab_loader

    config = UnconditionalConfig(size=(32, 32, 32), spacing=6.0, slab=4)
    subjects = find_cohort(test_data / "lgg_mni", ["t1"], None)[:1]
    prepared = prepare_cohort(subjects, config.recipe, tmp_path, shape=config.size)
    brain = prepared[0].load()[2]
    for batch in itertools.islice(
        slab_loader(prepared, augment=config.augmentation, whole=True), 4
    ):
        filled = (batch["source_whole"] > -1).sum()
        assert 0.5 * brain.sum() < filled <= 1.3 * brain.sum()
    assert read(subjects[0].images["t1"]).array.any()


def test_one_calibration_patient_is_refused_before_the_training(settings, small_cohort, tmp_path):
    rows = ["subject,t1,split"]
    sides = ["train"] * 3 + ["calibration"]
    for number, side in enumerate(sides):
        image = small_cohort / f"p{number}" / f"p{number}_t1.nii.gz"
        rows.append(f"p{number},{image},{side}")
    (tmp_path / "cohort.csv").write_text("\n".join(rows))
    with pytest.raises(InputError, match="1 calibration subjects, and a validation needs 2"):
        train(settings | {"data": str(tmp_path / "cohort.csv")}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_bad_subject_leaves_no_run(settings, small_cohort, tmp_path):
    rows = ["subject,t1"]
    for number in range(10):
        image = small_cohort / f"p{number}" / f"p{number}_t1.nii.gz"
        if number in (2, 5):
            flat = read(image)
            image = tmp_path / f"flat{number}.nii.gz"
            write(flat.with_array(np.full(flat.shape, 7, np.float32)), image)
        rows.append(f"p{number},{image}")
    (tmp_path / "cohort.csv").write_text("\n".join(rows))
    with pytest.raises(InputError, match=r"2 of \d+ subjects cannot be used: p2.*p5"):
        fractions = {"fractions": (0.8, 0.2, 0.0)}
        train(settings | {"data": str(tmp_path / "cohort.csv")} | fractions, tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_patients_are_brought_back_with_their_own_class(settings, labelled, tmp_path, monkeypatch):
    seen = []
    whole = validation._one_hot
    monkeypatch.setattr(
        validation, "_one_hot", lambda a, label, d: seen.append(label) or whole(a, label, d)
    )
    classes = {"data": str(labelled), "label": "group", "classes": ("a", "b"), "steps": 1}
    train(settings | classes, tmp_path / "run")
    with (tmp_path / "run" / "split.csv").open() as file:
        patients = [row["subject"] for row in csv.DictReader(file) if row["split"] == "calibration"]
    own = [int(name.removeprefix("p")) % 2 for name in patients]
    assert seen[: len(own)] == own


@pytest.mark.parametrize(
    ("depth", "slab"), [(32, 4), (64, 8), (128, 16), (256, 32), (112, 8), (40, 4), (96, 12)]
)
def test_the_slab_is_an_eighth_unless_that_does_not_divide(depth, slab):
    assert default_slab(depth) == slab
    assert depth % slab == 0


def test_the_outlook_of_the_paper_trains_and_resumes(settings, small_cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(validation, "SAMPLES", 2)
    monkeypatch.setattr(validation, "PAIRS", 1)
    cohort = tmp_path / "cohort.csv"
    rows = ["subject,t1,seg,fluid_ml,age"]
    for number in range(10):
        scan = small_cohort / f"p{number}" / f"p{number}_t1.nii.gz"
        rows.append(f"p{number},{scan},{scan},{number + 2},{20 + number if number else ''}")
    cohort.write_text("\n".join(rows) + "\n")
    every = settings | {
        "data": str(cohort), "size": (64, 64, 64), "spacing": 3.0, "levels": 2, "attention": True,
        "region": "seg", "measurements": ("fluid_ml", "age"), "weight_overlap": 1.0,
        "batch_deviation": True, "encoder_loss_to_generator": True, "steps": 2, "width": 64,
        "validate_every": 2, "checkpoint_every": 1,
    }  # fmt: skip
    train(every, tmp_path / "whole")
    with (tmp_path / "whole" / "metrics.csv").open() as file:
        names = {row["name"] for row in csv.DictReader(file)}
    assert {"train/measurements", "train/overlap"} <= names
    whole = run.slab_loader
    with monkeypatch.context() as patch:
        patch.setattr(run, "slab_loader", lambda *a, **k: itertools.islice(whole(*a, **k), 1))
        with pytest.raises(StopIteration):
            train(every, tmp_path / "run")
    train(every, tmp_path / "run")
    assert_equal_runs(tmp_path / "whole", tmp_path / "run")
    generator, encoder = (
        export_part(tmp_path / "run", tmp_path / f"{part}.onnx", part)
        for part in ("generator", "encoder")
    )
    (image,) = onnx_generator(generator.path, max_memory="100MiB").decode(np.ones((1, 4), "f4"))
    with torch.inference_mode():
        model = load_autoencoder(tmp_path / "run", encoder=True).autoencoder
        expected = model.generator(torch.ones(1, 4))[0][0, 0]
        latent = model.encoder.encode(torch.from_numpy(2 * image - 1)[None, None])[0]
    assert np.abs(2 * image - 1 - expected.numpy()).max() < 1e-4
    found = onnx_encoder(encoder.path).encode(2 * image - 1)
    assert np.abs(found - latent.numpy()).max() < 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"region": "seg"}, "subjects have no label map"),
        ({"measurements": ("age",)}, "no column 'age' of measurements"),
        ({"measurements": ("age",), "weight_overlap": 1.0}, "of which there are 1: expected 2"),
        ({"batch_deviation": True, "batch_size": 1}, "batch_deviation compares the volumes"),
        ({"region": "seg", "encoder": False}, "region needs the encoder"),
        ({"levels": 2}, "32x32x32: expected at least 64 voxels a side with 2 levels"),
    ],
)
def test_what_the_outlook_needs_is_named(settings, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        train(settings | changes, tmp_path / "run")
    assert not (tmp_path / "run").exists()
