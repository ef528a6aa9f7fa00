from pathlib import Path

import pytest

import hagan_clinic
from hagan_clinic.api.training import settings_of
from hagan_clinic.errors import InputError


def test_a_setting_that_there_is_none_of_is_named_before_any_work():
    with pytest.raises(InputError, match=r"train: unknown setting 'stepps'; known are .*steps"):
        hagan_clinic.train(data="cohort", stepps=3)


def test_a_file_gives_what_keywords_do_not_and_paths_are_taken(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[train]\nsteps = 7\nbatch-size = 3\nsource = ["t2"]\n')
    config = settings_of(file, "tiny", {"steps": 9, "data": tmp_path})
    assert (config.steps, config.batch_size, config.source) == (9, 3, ("t2",))
    assert config.data == str(tmp_path) and config.spacing == 6.0
    assert settings_of(config, None, {"steps": 11}).steps == 11
    with pytest.raises(TypeError, match="preset"):
        settings_of(config, "tiny", {})


def test_a_window_of_scanner_values_reaches_the_recipe_of_every_conditional_model():
    from hagan_clinic.training.registry import MODELS

    for model in MODELS["conditional"]:
        config = settings_of(None, None, {"model": model, "window": [0, 80]})
        assert config.recipe.window == (0.0, 80.0)
        with pytest.raises(InputError, match="a lower and a higher"):
            settings_of(None, None, {"model": model, "window": [80, 0]})


def test_a_run_is_taken_wherever_its_folder_is(folder):
    run = hagan_clinic.api.training.Run(folder / "run", 2, 2, {})
    assert Path(run) == folder / "run"
    assert hagan_clinic.load(run).config.steps == 2
