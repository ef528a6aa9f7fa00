"""A recipe survives the model file, and a foreign or damaged one is refused."""

import json
from dataclasses import replace

import pytest

from hagan_clinic.errors import ModelError
from hagan_clinic.recipe import Recipe

RECIPE = Recipe(
    sources=("t1", "t2"),
    target="flair",
    spacing=(1.5, 1.5, 2.0),
    multiple=16,
    halo=8,
    interval_factor=2.3,
)


def stored(**changes):
    return json.dumps(json.loads(RECIPE.to_json()) | changes)


def test_a_recipe_survives_json():
    assert Recipe.from_json(RECIPE.to_json()) == RECIPE
    assert "\n" not in RECIPE.to_json()


def test_a_missing_field_is_named():
    fields = json.loads(RECIPE.to_json())
    del fields["halo"]
    with pytest.raises(ModelError, match="fields missing: halo; unknown: none"):
        Recipe.from_json(json.dumps(fields))


def test_a_file_from_before_a_field_was_added_is_read():
    fields = json.loads(RECIPE.to_json())
    del fields["window"], fields["box_grows"]
    assert Recipe.from_json(json.dumps(fields)) == RECIPE


def test_an_unknown_field_is_named():
    with pytest.raises(ModelError, match="fields missing: none; unknown: colour"):
        Recipe.from_json(stored(colour="red"))


@pytest.mark.parametrize("schema", [2, 0, None, "1"])
def test_another_schema_is_refused_before_its_fields_are_looked_at(schema):
    with pytest.raises(ModelError, match=f"schema {schema}, this version reads 1"):
        Recipe.from_json(stored(schema=schema, more=1))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "[" * 100_000])
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(ModelError, match=r"is not (JSON|a JSON object)"):
        Recipe.from_json(text)


@pytest.mark.parametrize(
    "change",
    [
        {"spacing": [1.5, 1.5, 0]},
        {"spacing": [1.5, 1.5, float("nan")]},
        {"multiple": 0},
        {"halo": -1},
        {"sources": []},
        {"percentiles": [99.5, 0.5]},
        {"radius_mm": 0},
        {"interval_factor": float("inf")},
        {"box": [112, 128]},
        {"box": [112, 128, 100]},
        {"window": [600, -1024]},
        {"window": [-1024]},
        {"box": [], "box_grows": True},
        {"spacing": [1e-300, 1.5, 1.5]},
        {"spacing": [1e9, 1.5, 1.5]},
        {"multiple": 10**9},
        {"multiple": 10**400},
        {"halo": 10**9},
        {"interval_factor": 1e300},
        {"radius_mm": 1e-300},
        {"head_mm": 1e9},
        {"margin_mm": 1e9},
        {"margin_mm": float("nan")},
        {"box": [1600, 1600, 1600]},
        {"window": [-1e300, 1e300]},
        {"sources": ["t1"] * 1000},
        {"sources": ["../t1"]},
        {"sources": [""]},
        {"target": "x/../../p"},
        {"target": "..\\p"},
        {"target": ".hidden"},
        {"target": "C:p"},
        {"target": "fl\x1b[31mair"},
        {"target": "f" * 300},
    ],
)
def test_a_value_out_of_range_is_refused(change):
    with pytest.raises(ModelError, match="out of range") as caught:
        Recipe.from_json(stored(**change))
    assert next(iter(change)) in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("name", ["t1", "T1 (3T), post", "T2*", "fläir+c", "ct-1.5_mm"])
def test_what_sequences_are_called_is_a_name(name):
    assert Recipe.from_json(stored(target=name, sources=[name])).target == name


@pytest.mark.parametrize(
    "change",
    [
        {"spacing": "1.5"},
        {"spacing": [1.5, 1.5]},
        {"multiple": "16"},
        {"halo": 1.5},
        {"target": 3},
        {"sources": "t1"},
        {"box_grows": 1},
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(change):
    with pytest.raises(ModelError, match=f"{next(iter(change))}.* wrong kind"):
        Recipe.from_json(stored(**change))


def test_a_recipe_out_of_range_cannot_be_made():
    with pytest.raises(ModelError, match="out of range"):
        replace(RECIPE, multiple=-16)
