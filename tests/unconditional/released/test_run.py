"""The run folder that `import-weights` makes of the authors' files."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch.nn import functional as f

from hagan_clinic.cli import main
from hagan_clinic.imageio import read
from hagan_clinic.training.checkpoint import load_checkpoint
from hagan_clinic.training.initial import load_averaged, load_first_weights
from hagan_clinic.training.registry import build_model, read_config
from hagan_clinic.training.run_folder import read_facts
from hagan_clinic.unconditional import Autoencoder


@pytest.fixture(scope="module")
def run(released_models, authors_weights, tmp_path_factory):
    paths, _ = authors_weights(128, **released_models[128])
    folder = tmp_path_factory.mktemp("runs") / "copdgene"
    arguments = ["import-weights", *map(str, paths), "-o", str(folder), "--image", "ct"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_the_command_says_what_it_read_and_what_the_files_do_not_state(run):
    folder, output = run
    assert f"{folder}: HA-GAN for 128x128x128 voxels, z of 16, 3 classes, " in output
    assert "1 mm is assumed: give --spacing" in output
    assert "do not state the orientation" in output


def test_the_run_describes_the_model_and_where_it_came_from(
    released_models, imported, run, authors_weights
):
    config = read_config(run[0])
    assert (config.mode, config.norm, config.variant) == ("unconditional", "group", "released")
    assert (config.image, config.spacing, config.classes) == ("ct", 1.0, ("0", "1", "2"))
    assert config.window == (-1024.0, 600.0)
    released = imported(tuple(authors_weights(128, **released_models[128])[0]))
    assert build_model(config).config == released.model.config
    facts = read_facts(run[0])
    assert facts["box"] == [128, 128, 128]
    names = [file["name"] for file in facts["imported"]]
    assert names == [f"{part}_iter80000.pth" for part in ("G", "D", "E", "Sub_E")]
    assert facts["imported"] == list(released.files)


def test_the_run_is_used_and_fine_tuned_like_a_trained_one(
    released_models, imported, run, authors_weights
):
    folder = run[0]
    config = read_config(folder)
    original = imported(tuple(authors_weights(128, **released_models[128])[0])).model
    used = Autoencoder(config.sizes())
    assert load_averaged(used, folder)["best_step"] == 0
    fine_tuned = build_model(config)
    assert load_first_weights(fine_tuned.averaged, folder)["name"] == "copdgene"
    resumed = build_model(config)
    average = torch.optim.swa_utils.AveragedModel(resumed.averaged)
    load_checkpoint(folder / "last", resumed, average, {})
    for ours, theirs in (
        (used, original.autoencoder),
        (fine_tuned.autoencoder, original.autoencoder),
        (average.module, original.autoencoder),
        (resumed, original),
    ):
        expected = theirs.state_dict()
        assert ours.state_dict().keys() == expected.keys()
        assert all(torch.equal(v, expected[k]) for k, v in ours.state_dict().items())


def test_the_run_is_sampled_from(released_models, imported, run, authors_weights, tmp_path):
    released = imported(tuple(authors_weights(128, **released_models[128])[0]))
    arguments = ["sample", str(run[0]), "-o", str(tmp_path / "samples"), "-n", "1", "--label", "2"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    made = read(tmp_path / "samples" / "sample_0001.nii.gz")
    assert (made.array.shape, made.spacing) == ((128, 128, 128), (1.0, 1.0, 1.0))
    with np.load(tmp_path / "samples" / "latents.npz", allow_pickle=False) as latents:
        z = torch.from_numpy(latents["latents"])
    label = f.one_hot(torch.tensor([2]), 3)
    with torch.inference_mode():
        volume, _ = released.model.autoencoder.eval().generator(torch.cat([z, label], 1))
    assert np.abs(made.array - (volume[0, 0].numpy() + 1) / 2).max() < 1e-4


def test_a_given_spacing_is_kept_and_an_empty_folder_taken(
    released_models, authors_weights, tmp_path
):
    paths, _ = authors_weights(128, **released_models[128])
    (tmp_path / "run").mkdir()
    arguments = ["import-weights", *map(str, paths), "-o", str(tmp_path / "run")]
    result = CliRunner().invoke(main, [*arguments, "--spacing", "1.5"])
    assert result.exit_code == 0, result.output
    assert "is assumed" not in result.output
    assert read_config(tmp_path / "run").spacing == 1.5
