import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from hagan_clinic.extras import EXTRAS


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_packages_of_an_extra_are_those_of_the_project(extra):
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    stated = [re.match(r"[\w-]+", line)[0] for line in project["optional-dependencies"][extra]]
    assert list(EXTRAS[extra].values()) == stated


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_modules_of_an_extra_are_importable_by_these_names(extra):
    assert [name for name in EXTRAS[extra] if find_spec(name) is None] == []
