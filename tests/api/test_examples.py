"""The examples of the public functions' docstrings, in a folder that holds what they name."""

import doctest

import pytest

import hagan_clinic

EXAMPLES = [name for name in hagan_clinic.__all__ if name not in ("__version__", "translate")]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_a_public_name_gives_what_it_says(name, folder, tmp_path, monkeypatch):
    for entry in folder.iterdir():
        if not (name == "train" and entry.name == "run"):
            (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    public = getattr(hagan_clinic, name)
    tests = [test for test in doctest.DocTestFinder().find(public, name) if test.examples]
    assert tests, f"{name} has no example"
    for test in tests:
        assert doctest.DocTestRunner().run(test).failed == 0
