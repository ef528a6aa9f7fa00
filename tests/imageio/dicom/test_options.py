"""A site's choices come from its file and from options, and wrong ones are named."""

import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.options import SeriesOptions, config_path, read_options


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


def configure(home, text):
    path = home / "hagan-clinic" / "dicom.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_the_defaults_hold(home):
    assert read_options() == SeriesOptions()


def test_the_file_is_read_and_options_override_it(home):
    configure(home, 'number = 4000\ninstitution-name = "Klinik Süd"\nburn_in = true\n')
    assert config_path() == home / "hagan-clinic" / "dicom.toml"
    assert read_options() == SeriesOptions(number=4000, institution_name="Klinik Süd", burn_in=True)
    chosen = read_options(number=12, burn_in=False, description=None)
    assert (chosen.number, chosen.burn_in) == (12, False)
    assert chosen.institution_name == "Klinik Süd"


def test_without_xdg_the_file_lies_below_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CONFIG_HOME", value)
        assert config_path() == tmp_path / ".config" / "hagan-clinic" / "dicom.toml"


def test_a_file_that_is_named_must_exist(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*other\.toml: No such .*; give a TOML"):
        read_options(tmp_path / "other.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("number = ", "not valid TOML"),
        ("nummer = 3\n", "unknown setting 'nummer'; known are .*number.*Did you mean 'number'"),
        ('number = "3"\n', "number is '3', expected a whole number"),
        ("number = true\n", "number is True, expected a whole number"),
        ("number = -1\n", "number is -1, expected a whole number from 0"),
        ('burn_in = "no"\n', "burn_in is 'no', expected true or false"),
        ("description = 3\n", "description is 3, expected text"),
        ('manufacturer = ""\n', "manufacturer is empty"),
    ],
)
def test_a_wrong_file_is_refused_by_name(home, text, message):
    path = configure(home, text)
    with pytest.raises(InputError, match=message) as caught:
        read_options()
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_text_is_refused(home):
    configure(home, "").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not valid TOML"):
        read_options()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"description": "x" * 65}, "description has 65 characters, expected at most 64"),
        ({"description": "a\\b"}, "neither backslashes nor line breaks"),
        ({"institution_name": "a\nb"}, "institution_name is 'a\\\\nb', expected neither"),
        ({"station_name": "x" * 17}, "station_name has 17 characters, expected at most 16"),
        ({"institution_code": "4711"}, "expected VALUE\\^SCHEME\\^MEANING"),
        ({"institution_code": "4711^^x"}, "expected VALUE\\^SCHEME\\^MEANING"),
        ({"institution_code": f"{'1' * 17}^99X^x"}, "the value in institution_code has 17"),
    ],
)
def test_what_an_element_cannot_hold_is_refused(home, values, message):
    with pytest.raises(InputError, match=message):
        SeriesOptions(**values)
    with pytest.raises(InputError, match=f"option .*{message}"):
        read_options(**values)
