from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.settings_file import read_toml, typed


@dataclass
class Kinds:
    text: str = ""
    whole: int = 0
    number: float = 0.0
    truth: bool = False
    texts: tuple[str, ...] = ()
    three: tuple[float, float, float] = (0.0, 0.0, 0.0)
    maybe: int | None = None
    sentences: Sequence[str] = ()
    table: Mapping[str, float] = field(default_factory=dict)


def test_values_become_what_the_fields_hold():
    given = {
        "text": "a", "whole": 2, "number": 3, "truth": True, "texts": ["b"], "three": [1, 2, 3.5],
        "maybe": None, "sentences": ["c", "d"], "table": {"psnr": 1.0},
    }  # fmt: skip
    found = Kinds(**typed(Kinds, given, "here"))
    assert type(found.number) is float and found.three == (1.0, 2.0, 3.5)
    assert (found.texts, found.sentences, found.maybe) == (("b",), ("c", "d"), None)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("text", 1, "text is 1, expected text"),
        ("whole", True, "whole is True, expected a whole number"),
        ("whole", 1.0, "whole is 1.0, expected a whole number"),
        ("number", "1", "number is '1', expected a number"),
        ("truth", 1, "truth is 1, expected true or false"),
        ("texts", "a", "texts is 'a', expected a list of texts"),
        ("texts", [1], "texts is 1, expected text"),
        ("three", [1, 2], r"three is \[1, 2\], expected a list of 3 numbers"),
        ("maybe", "1", "maybe is '1', expected a whole number"),
        ("table", [], r"table is \[\], expected a table"),
        ("nunber", 1, "unknown setting 'nunber'; known are .*. Did you mean 'number'?"),
    ],
)
def test_what_does_not_fit_is_told_with_what_would(name, value, expected):
    with pytest.raises(InputError, match=f"^here: {expected}"):
        typed(Kinds, {name: value}, "here")


def test_one_text_is_a_list_where_that_is_meant():
    assert typed(Kinds, {"texts": "a"}, "here", one_is_a_list=True) == {"texts": ("a",)}


def test_dashes_in_names_are_read_as_underscores(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("batch-size = 3\n")
    assert read_toml(path) == {"batch_size": 3}
