"""What a site chooses about the series it writes, by option or in its configuration file."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.derivation import LONG_STRING
from hagan_clinic.settings_file import read_toml, typed

_CODE_PARTS = (("value", 16), ("scheme", 16), ("meaning", LONG_STRING))
_MAX_NUMBER = 2**31 - 2  # of IS, less the one that the uncertainty map adds


@dataclass(frozen=True)
class SeriesOptions:
    """What a site chooses about the series it writes.

    Attributes:
        description: Follows SYNTHETIC in SeriesDescription, instead of the sequence's name.
        number: SeriesNumber of the image; an uncertainty map has the next. By default 90000 and
            95000 more than the source's.
        manufacturer: Manufacturer of the series.
        institution_name: InstitutionName: where the series is made.
        institution_code: InstitutionCodeSequence, as `VALUE^SCHEME^MEANING`.
        department: InstitutionalDepartmentName.
        station_name: StationName of the computer that makes it.
        burn_in: Draw SYNTHETIC into a corner of every slice.

    Raises:
        InputError: A value that its element cannot hold.
    """

    description: str = ""
    number: int | None = None
    manufacturer: str = "hagan-clinic"
    institution_name: str = ""
    institution_code: str = ""
    department: str = ""
    station_name: str = ""
    burn_in: bool = False

    def __post_init__(self) -> None:
        for name in ("description", "manufacturer", "institution_name", "department"):
            _check_text(name, getattr(self, name), LONG_STRING)
        _check_text("station_name", self.station_name, 16)
        if not self.manufacturer:
            raise InputError("manufacturer is empty; expected a name, or leave the option out")
        if self.number is not None and not (
            type(self.number) is int and 0 <= self.number <= _MAX_NUMBER
        ):
            raise InputError(
                f"number is {self.number!r}, expected a whole number from 0 to {_MAX_NUMBER}"
            )
        if type(self.burn_in) is not bool:
            raise InputError(f"burn_in is {self.burn_in!r}, expected true or false")
        _check_text("institution_code", self.institution_code, 100)
        if self.institution_code:
            self.institution_code_parts()

    def institution_code_parts(self) -> tuple[str, str, str]:
        """Code value, coding scheme designator and code meaning.

        Raises:
            InputError: `institution_code` is not made of these three.
        """
        parts = self.institution_code.split("^")
        if len(parts) != 3 or not all(parts):
            raise InputError(
                f"institution_code is {self.institution_code!r}, expected VALUE^SCHEME^MEANING, "
                "such as 4711^99HOSPITAL^Department of Radiology"
            )
        value, scheme, meaning = parts
        for part, (name, limit) in zip(parts, _CODE_PARTS, strict=True):
            _check_text(f"the {name} in institution_code", part, limit)
        return value, scheme, meaning


def config_path() -> Path:
    """Where a site's choices stand: `hagan-clinic/dicom.toml` below $XDG_CONFIG_HOME."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    # The base directory specification has relative paths ignored.
    folder = Path(home) if Path(home).is_absolute() else Path.home() / ".config"
    return folder / "hagan-clinic" / "dicom.toml"


def read_options(path: Path | None = None, **chosen: Any) -> SeriesOptions:
    """The options of a TOML file, overridden by those `chosen` that are not None.

    Args:
        path: The file, which must exist; by default `config_path()`, which need not.
        **chosen: Fields of `SeriesOptions`.

    Raises:
        InputError: The file cannot be read, or an option is unknown or wrong.
    """
    options = _from_file(path)
    given = {name: value for name, value in chosen.items() if value is not None}
    try:
        return replace(options, **given)
    except InputError as error:
        raise InputError(f"option {error}") from None


def _from_file(path: Path | None) -> SeriesOptions:
    file = config_path() if path is None else path
    if path is None and not file.exists():
        return SeriesOptions()
    values = typed(SeriesOptions, read_toml(file), str(file))
    try:
        return SeriesOptions(**values)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def _check_text(name: str, text: Any, limit: int) -> None:
    if not isinstance(text, str):
        raise InputError(f"{name} is {text!r}, expected text")
    if len(text) > limit:
        raise InputError(f"{name} has {len(text)} characters, expected at most {limit}; shorten it")
    if "\\" in text or not text.isprintable():
        raise InputError(
            f"{name} is {text!r}, expected neither backslashes nor line breaks or other control "
            "characters"
        )
