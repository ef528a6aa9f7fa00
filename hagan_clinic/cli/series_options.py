"""The options that say how a derived DICOM series is written, shared by the commands that do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hagan_clinic.imageio.dicom.options import SeriesOptions

_CHOICES: dict[str, tuple[str, dict[str, Any]]] = {
    "description": ("series-description", {"help": "Follows SYNTHETIC in SeriesDescription."}),
    "number": (
        "series-number",
        {"type": int, "help": "SeriesNumber.  [default: the source's and 90000]"},
    ),
    "manufacturer": ("manufacturer", {"help": "Manufacturer.  [default: hagan-clinic]"}),
    "institution_name": ("institution-name", {"help": "InstitutionName."}),
    "institution_code": (
        "institution-code",
        {"metavar": "VALUE^SCHEME^MEANING", "help": "InstitutionCodeSequence."},
    ),
    "department": ("department", {"help": "InstitutionalDepartmentName."}),
    "station_name": ("station-name", {"help": "StationName."}),
    "burn_in": (
        "burn-in",
        {
            "is_flag": True,
            "default": None,
            "help": "Draw SYNTHETIC into a corner of every slice, for viewers that hide tags.",
        },
    ),
}
"""Field of `SeriesOptions` -> its option."""

_FILE = "dicom-config"


def series_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command, which hands what it gets of them to `Given`."""
    option = click.option(
        f"--{_FILE}",
        type=click.Path(path_type=Path),
        help="TOML file of these options.  [default: ~/.config/hagan-clinic/dicom.toml if there]",
    )
    command = option(command)
    for name, details in reversed(_CHOICES.values()):
        command = click.option(f"--{name}", **details)(command)
    return command


class Given:
    """What a command line says of a derived series.

    Args:
        **chosen: The command's arguments for the options of `series_options`.
    """

    def __init__(self, **chosen: Any) -> None:
        self._file: Path | None = chosen.pop(_FILE.replace("-", "_"))
        self._chosen = {
            field: value
            for field, (name, _) in _CHOICES.items()
            if (value := chosen[name.replace("-", "_")]) is not None
        }

    def __bool__(self) -> bool:
        return bool(self._chosen) or self._file is not None

    def names(self) -> str:
        """The options given, for people."""
        names = [_CHOICES[field][0] for field in self._chosen]
        return ", ".join(f"--{name}" for name in [*names, *([_FILE] if self._file else [])])

    def options(self) -> SeriesOptions:
        """The configuration file's options, and over them those of the command line.

        Raises:
            InputError: An option that its element cannot hold, or a file that cannot be read.
        """
        from hagan_clinic.imageio.dicom.options import read_options

        return read_options(self._file, **self._chosen)
