import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

from hagan_clinic.extras import TRAINING


def test_training_packages_are_those_of_the_extra():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    stated = [re.match(r"[\w-]+", line)[0] for line in project["optional-dependencies"]["train"]]
    assert list(TRAINING.values()) == stated


def test_training_modules_are_importable_by_these_names():
    assert [name for name in TRAINING if find_spec(name) is None] == []
