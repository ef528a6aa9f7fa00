import dataclasses
import json
import re
import tomllib
from pathlib import Path

import click
import pytest

from hagan_clinic.cli import main
from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.errors import DeviceError, InputError, ModelError, OutputError
from hagan_clinic.node.config import NodeConfig
from hagan_clinic.recipe import Recipe
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.registry import MODELS, model_class

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
COMMANDS = main.list_commands(click.Context(main))
GROUPS = {
    name: command.list_commands(click.Context(command))
    for name in COMMANDS
    if isinstance(command := main.get_command(click.Context(main), name), click.Group)
}
SUBCOMMANDS = [f"{group} {name}" for group, names in GROUPS.items() for name in names]


def section(page, title):
    """The text under a second-level heading."""
    return (REFERENCE / page).read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_command_has_its_section():
    headings = re.findall(r"^## (.*)$", (REFERENCE / "command-line.md").read_text(), re.MULTILINE)
    assert headings == [*COMMANDS, "Exit codes"]


def test_every_subcommand_has_its_section_under_its_groups():
    text = (REFERENCE / "command-line.md").read_text()
    assert re.findall(r"^### (.*)$", text, re.MULTILINE) == SUBCOMMANDS
    for group, names in GROUPS.items():
        headings = re.findall(r"^### (.*)$", section("command-line.md", group), re.MULTILINE)
        assert headings == [f"{group} {name}" for name in names]


def own_section(name):
    """The text under the heading of a command or subcommand, without those of its subcommands."""
    text = (REFERENCE / "command-line.md").read_text()
    return re.split(r"^###? ", text.split(f"# {name}\n")[1], flags=re.MULTILINE)[0]


@pytest.mark.parametrize("name", [*COMMANDS, *SUBCOMMANDS])
def test_the_options_of_a_command_are_those_of_its_table(name):
    command = main
    for word in name.split():
        command = command.get_command(click.Context(command), word)
    options = {
        option
        for parameter in command.params
        if isinstance(parameter, click.Option)
        and parameter.expose_value  # those that every command has stand above
        and not parameter.hidden
        for option in parameter.opts
    }
    rows = re.findall(r"^\| (`-.*?) \|", own_section(name), re.MULTILINE)
    assert set(re.findall(r"`(-[-\w]+)`", " ".join(rows))) == options


@pytest.mark.parametrize("error", [InputError, ModelError, DeviceError, OutputError])
def test_the_exit_codes_are_those_of_the_errors(error):
    name = error.__name__.removesuffix("Error").lower()
    assert f"| {error.exit_code} | {name}: " in section("command-line.md", "Exit codes")


def stated(title, page="training-settings.md"):
    """Setting -> default of the first table under a heading of a page of settings."""
    rows = section(page, title).split("|---|\n")[1].split("\n\n")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", rows, re.MULTILINE))


def _default(settings, field):
    if not isinstance(settings, type):
        return getattr(settings, field.name)
    made = field.default_factory is not dataclasses.MISSING  # of a class without instances
    return field.default_factory() if made else field.default


def defaults(settings):
    """Setting -> default as the page writes it."""
    return {
        field.name: ""
        if (value := _default(settings, field)) in (None, {}, "", ())
        else f"`{json.dumps(value)}`"
        for field in dataclasses.fields(settings)
    }


KINDS = {
    f"--mode {mode}" if model == "hagan" else f"--model {model}": model_class(
        mode, model
    ).settings_class
    for mode, models in MODELS.items()
    for model in models
}


@pytest.mark.parametrize("title", KINDS)
def test_the_settings_of_a_model_have_the_defaults_that_are_stated(title):
    shared = {field.name for field in dataclasses.fields(TrainingConfig)}
    expected = defaults(KINDS[title]())
    assert stated(title) == {
        name: default
        for name, default in expected.items()
        if name not in shared or default != defaults(TrainingConfig)[name]
    }


def test_the_shared_settings_have_the_defaults_that_are_stated():
    assert stated("Every mode") == defaults(TrainingConfig)


def test_the_settings_of_the_node_have_the_defaults_that_are_stated():
    assert stated("Settings", "node.md") == defaults(NodeConfig())


def test_the_augmentation_has_the_defaults_that_are_stated():
    assert stated("Augmentation") == defaults(AugmentConfig())


@pytest.mark.parametrize("title", KINDS)
def test_the_presets_are_those_that_are_stated(title):
    block = section("training-settings.md", f"Presets of {title}")
    stated = tomllib.loads(block.split("```toml\n")[1].split("```")[0])
    assert stated == json.loads(json.dumps(dict(KINDS[title].presets)))


def test_the_tuned_variant_is_the_one_that_is_stated():
    block = section("training-settings.md", "--variant tuned").split("```toml\n")[1]
    stated = tomllib.loads(block.split("```")[0])
    for model in ("slab-unet", "cgan2d", "cgan3d-patch", "cgan3d-laf"):
        assert model_class("conditional", model).settings_class.variants["tuned"] == stated


def test_the_model_file_page_names_every_field_of_the_recipe():
    rows = re.findall(
        r"^\| ((?:`\w+`(?:, )?)+) \|", section("model-file.md", "Metadata"), re.MULTILINE
    )
    named = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert {field.name for field in dataclasses.fields(Recipe)} <= named
