import pytest

from hagan_clinic.printable import printable, printable_in


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("T1 MPRAGE, ä – 脳", "T1 MPRAGE, ä – 脳"),
        ("one\ntwo", "one\ntwo"),
        ("a\x1b[2Kb", r"a\x1b[2Kb"),
        ("a\x9b2Jb\x07\x00\x7f\r", r"a\x9b2Jb\x07\x00\x7f\r"),
        ("gnp\u202e", r"gnp\u202e"),  # what follows would run from right to left
        ("a\u200bb\u2028c", r"a\u200bb\u2028c"),
        ("a name of no encoding \udcff", r"a name of no encoding \udcff"),
    ],
)
def test_what_prints_stays_and_all_else_is_written_out(text, expected):
    assert printable(text) == expected


def test_every_text_of_a_value_of_json_is_made_printable():
    value = {"a\x1b": ["b\x1b", {"c": "d\x1b"}], "e": 1.5, "f": None, "g": True}
    assert printable_in(value) == {
        r"a\x1b": [r"b\x1b", {"c": r"d\x1b"}],
        "e": 1.5,
        "f": None,
        "g": True,
    }
