"""How the command line writes settings of training: NAME=VALUE, and numbers with commas."""

import tomllib
from typing import Any

import click


def numbers(kind: type[int] | type[float], *counts: int) -> Any:
    """A callback that reads numbers with commas between them; one number stands for three."""

    def read(_: click.Context, __: click.Parameter, text: str | None) -> tuple[float, ...] | None:
        if text is None:
            return None
        try:
            found = tuple(kind(part) for part in text.split(","))
        except ValueError:
            found = ()
        if len(found) not in counts:
            expected = " or ".join(map(str, counts))
            raise click.BadParameter(f"{text!r}: expected {expected} numbers, commas between them")
        return found * 3 if len(found) == 1 else found

    return read


def assignment(text: str) -> tuple[str, Any]:
    """``name=value`` with a TOML value; a bare word is a string."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise click.UsageError(f"--set {text}: expected NAME=VALUE")
    try:
        return name, tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        return name, value
