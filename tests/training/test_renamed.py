import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.optim.swa_utils import AveragedModel

from hagan_clinic.errors import InputError
from hagan_clinic.training.checkpoint import load_checkpoint, save_checkpoint
from hagan_clinic.training.registry import build_model, config_from_dict, gather_settings
from hagan_clinic.training.run_folder import read_state

FORMER = {
    "slab_discriminator": "slab_judge",
    "low_discriminator": "low_judge",
    "discriminator": "judge",
}
MODELS = {
    ("unconditional", "hagan"): {"slab_judge", "low_judge"},
    ("conditional", "slab-unet"): {"judge"},
    ("unconditional", "vae-gan"): {"judge"},
}


def tiny(mode, model, **changes):
    return gather_settings("tiny", [], {"mode": mode, "model": model, **changes})


@pytest.mark.parametrize(("mode", "model"), MODELS)
def test_a_checkpoint_with_the_former_names_of_discriminators_is_loaded(mode, model, tmp_path):
    saved, other = (build_model(tiny(mode, model, seed=seed)) for seed in (1, 2))
    save_checkpoint(tmp_path, saved, AveragedModel(saved.averaged), {}, {"step": 3})
    weights = tmp_path / "weights.safetensors"
    former = {}
    for name, tensor in load_file(weights).items():
        part, rest = name.split(".", 1)
        former[f"{FORMER.get(part, part)}.{rest}"] = tensor
    assert {name.split(".")[0] for name in former} >= MODELS[mode, model]
    save_file(former, weights)

    assert load_checkpoint(tmp_path, other, AveragedModel(other.averaged), {})["step"] == 3
    expected = saved.state_dict()
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_the_settings_of_a_former_run_are_read():
    config = tiny("unconditional", "hagan", variant="released", discriminator_width=96)
    values = json.loads(config.to_json())
    former = values | {"judge_width": 96, "recipe": "released"}
    for name in ("discriminator_width", "variant"):
        del former[name]
    assert config_from_dict(former, "config.json") == config


def test_a_settings_file_with_former_names_is_read_and_options_come_over_it(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('[train]\nmode = "unconditional"\nrecipe = "released"\njudge-width = 96\n')
    config = gather_settings(None, [file], {})
    assert (config.variant, config.norm, config.discriminator_width) == ("released", "group", 96)
    over = gather_settings(None, [file], {"variant": "paper", "discriminator_width": 64})
    assert (over.variant, over.norm, over.discriminator_width) == ("paper", "position", 64)


def test_a_setting_by_both_its_names_is_refused():
    given = {"mode": "unconditional", "judge_width": 64, "discriminator_width": 96}
    with pytest.raises(InputError, match="judge_width is the former name of discriminator_width"):
        gather_settings(None, [], given)


def test_the_metrics_of_a_former_checkpoint_are_read(tmp_path):
    (tmp_path / "state.json").write_text('{"step": 3, "figures": {"interval_factor": 2.5}}')
    assert read_state(tmp_path) == {"step": 3, "metrics": {"interval_factor": 2.5}}
