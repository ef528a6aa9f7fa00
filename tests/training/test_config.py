import pytest

from hagan_clinic.conditional.settings import ConditionalConfig
from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.errors import InputError
from hagan_clinic.settings_file import typed
from hagan_clinic.training.config import CHOICES, read_settings
from hagan_clinic.training.registry import MODELS, config_from_dict, gather_settings


def test_each_place_counts_over_the_one_before(tmp_path):
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text("[train]\nsteps = 10\nslab = 16\nseed = 7\n")
    second.write_text("[train]\nslab = 20\n")
    config = gather_settings("cpu", [first, second], {"seed": 9})
    assert (config.steps, config.slab, config.seed, config.batch_size) == (10, 20, 9, 1)


def test_dashes_and_underscores_name_the_same_setting(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("[train]\nbatch-size = 3\n")
    assert read_settings(path) == {"batch_size": 3}


@pytest.mark.parametrize(
    ("preset", "given", "meant"),
    [
        ("tini", {}, "tiny"),
        (None, {"stepps": 3}, "steps"),
        (None, {"batch-size": 3}, "batch_size"),
        (None, {"model": "slab_unet"}, "slab-unet"),
        (None, {"mode": "uncondtional"}, "unconditional"),
    ],
)
def test_a_setting_that_is_not_there_is_answered_with_what_was_meant(preset, given, meant):
    with pytest.raises(InputError, match=rf"Did you mean '{meant}'\?$"):
        gather_settings(preset, [], given)


def test_a_configuration_survives_json():
    import json

    config = ConditionalConfig(source=("t1", "t2"), size=(16, 32, 48), augment={"flip": 0.5})
    assert config_from_dict(json.loads(config.to_json()), "x") == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stepps": 3}, "unknown setting 'stepps'"),
        ({"steps": "many"}, "steps is 'many', expected a whole number"),
        ({"steps": 0}, "--steps is 0"),
        ({"steps": True}, "steps is True"),
        ({"mode": "both"}, "mode is 'both': expected one of conditional, unconditional"),
        ({"precision": "fp16"}, "precision is 'fp16': expected one of 32-true, bf16-mixed"),
        ({"spacing": 0.0}, "spacing is 0.0: expected a positive number"),
        ({"generator_lr": float("nan")}, "generator_lr is nan"),
        ({"half_width": 0}, "half_width is 0"),
        ({"seed": -1}, "seed is -1: expected 0 or more"),
        ({"seed": 2**32}, r"seed is 4294967296: expected less than 4294967296 \(2\*\*32\)"),
        ({"ema": 1.0}, "ema is 1.0: expected 0 or more, and less than 1"),
        ({"ema": -0.1}, "ema is -0.1"),
        ({"adversarial_start": 1.5}, "adversarial_start is 1.5: expected 0 to 1"),
        ({"weight_background": float("nan")}, "weight_background is nan: expected 0 to 1"),
        ({"weight_structure": -0.3}, "weight_structure is -0.3: expected 0 or more"),
        ({"weight_adversarial": float("inf")}, "weight_adversarial is inf"),
        ({"fractions": [0.8, 0.2]}, "fractions is"),
        ({"slab": 30}, "--slab is 30: expected a positive multiple of 4"),
        ({"halo": 2}, "--halo is 2"),
        ({"slab": 4}, "--slab is 4: expected 8 or more"),
        ({"size": [16, 16]}, "size is"),
        ({"size": [16, 16, "16"]}, "size is '16', expected a whole number"),
        ({"source": []}, "--source is empty"),
        ({"source": [1]}, "source is 1, expected text"),
        ({"low_res_branch": 1}, "low_res_branch is 1, expected true or false"),
    ],
)
def test_bad_settings_are_named(values, message):
    with pytest.raises(InputError, match=message):
        config_from_dict({"mode": "conditional", **values}, "test")


def test_whole_numbers_do_for_a_range():
    assert typed(AugmentConfig, {"thickness": [2, 3], "degrees": 5}, "augment") == {
        "thickness": (2.0, 3.0), "degrees": 5.0,
    }  # fmt: skip


def test_every_mode_that_can_be_asked_for_can_be_trained():
    assert tuple(MODELS) == CHOICES["mode"]


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "cannot read"), ("[train", "not valid TOML"), ("steps = 3", "no \\[train\\] table")],
)
def test_bad_files_are_named(tmp_path, text, message):
    path = tmp_path / "a.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_settings(path)


def test_an_error_is_laid_to_the_place_it_came_from(tmp_path):
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text("[train]\nslab = 'thick'\n")
    second.write_text("[train]\nslab = 20\n")
    with pytest.raises(InputError, match=r"a\.toml: slab is 'thick', expected a whole number"):
        gather_settings(None, [first, second], {})
    with pytest.raises(InputError, match=r"^command line: unknown setting 'colour'"):
        gather_settings(None, [second], {"colour": "red"})


def test_an_unknown_preset_is_named():
    with pytest.raises(InputError, match="--preset huge: expected one of default, cpu, gpu, tiny"):
        gather_settings("huge", [], {})
