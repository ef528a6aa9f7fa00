import dataclasses
import json
import re
import tomllib
from pathlib import Path

import click
import pytest

from hagan_clinic.cli import main
from hagan_clinic.errors import DeviceError, InputError, ModelError, OutputError
from hagan_clinic.recipe import Recipe
from hagan_clinic.training.augment import AugmentConfig
from hagan_clinic.training.config import PRESETS, TrainingConfig

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
COMMANDS = main.list_commands(click.Context(main))


def section(page, title):
    """The text under a second-level heading."""
    return (REFERENCE / page).read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_command_has_its_section():
    headings = re.findall(r"^## (.*)$", (REFERENCE / "command-line.md").read_text(), re.MULTILINE)
    assert headings == [*COMMANDS, "Exit codes"]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_of_a_command_are_those_of_its_table(name):
    command = main.get_command(click.Context(main), name)
    options = {
        option
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.name != "debug"
        for option in parameter.opts
    }
    rows = re.findall(r"^\| (`-.*?) \|", section("command-line.md", name), re.MULTILINE)
    assert set(re.findall(r"`(-[-\w]+)`", " ".join(rows))) == options


@pytest.mark.parametrize("error", [InputError, ModelError, DeviceError, OutputError])
def test_the_exit_codes_are_those_of_the_errors(error):
    name = error.__name__.removesuffix("Error").lower()
    assert f"| {error.exit_code} | {name}: " in section("command-line.md", "Exit codes")


@pytest.mark.parametrize(("settings", "first"), [(TrainingConfig, "mode"), (AugmentConfig, "flip")])
def test_the_training_settings_have_the_defaults_that_are_stated(settings, first):
    text = (REFERENCE / "training-settings.md").read_text()
    tables = [re.findall(r"^\| `(\w+)` \| (.*?) \|", t, re.MULTILINE) for t in text.split("|---|")]
    table = next(dict(rows) for rows in tables if first in dict(rows))
    default = settings()
    empty = (None, {}, "")
    assert table == {
        field.name: ""
        if (value := getattr(default, field.name)) in empty
        else f"`{json.dumps(value)}`"
        for field in dataclasses.fields(settings)
    }


def test_the_presets_are_those_that_are_stated():
    block = section("training-settings.md", "Presets").split("```toml\n")[1].split("```")[0]
    assert tomllib.loads(block) == PRESETS


def test_the_model_file_page_names_every_field_of_the_recipe():
    rows = re.findall(
        r"^\| ((?:`\w+`(?:, )?)+) \|", section("model-file.md", "Metadata"), re.MULTILINE
    )
    named = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert {field.name for field in dataclasses.fields(Recipe)} <= named
