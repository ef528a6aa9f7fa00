"""Settings of any kind, from a TOML file or a mapping to a dataclass, by name and by type."""

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hagan_clinic.errors import InputError
from hagan_clinic.nearest import did_you_mean

_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
}


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file holds, dashes in names made underscores.

    Raises:
        InputError: It cannot be read, or is no TOML.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from error
    return underscored(content)


def underscored(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table with names as Python writes them."""
    return {name.replace("-", "_"): value for name, value in table.items()}


def typed(
    kind: type, values: Mapping[str, Any], where: str, *, one_is_a_list: bool = False
) -> dict[str, Any]:
    """Values for the fields of a dataclass, checked by name and type.

    Args:
        kind: The dataclass; its fields are texts, numbers, truth values, or lists or tables of
            them, or None.
        values: By the fields' names.
        where: They are from, for errors.
        one_is_a_list: Whether a text or whole number alone stands for a list of one.

    Raises:
        InputError: Unknown name, or a value of another type.

    Example:
        >>> from hagan_clinic.data.augment import AugmentConfig
        >>> typed(AugmentConfig, {"degrees": 5}, "mine.toml")
        {'degrees': 5.0}
    """
    every = typing.get_type_hints(kind)
    hints = {field.name: every[field.name] for field in dataclasses.fields(kind)}
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            known = sorted(hints)
            raise InputError(
                f"{where}: unknown setting {name!r}; known are {', '.join(known)}"
                f"{did_you_mean(name, known)}"
            )
        hint = hints[name]
        if one_is_a_list and isinstance(value, str | int) and typing.get_origin(hint) is tuple:
            value = [value]
        checked[name] = _checked(value, hint, f"{where}: {name}")
    return checked


def _checked(value: Any, hint: Any, where: str) -> Any:
    """``value`` as the field's type, or an InputError."""
    if typing.get_origin(hint) is types.UnionType:
        if value is None:
            return None
        hint = typing.get_args(hint)[0]
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (tuple, Sequence):
        of_any_length = origin is Sequence or Ellipsis in arguments
        fits = isinstance(value, list | tuple) and (of_any_length or len(value) == len(arguments))
        if fits:
            return tuple(_checked(item, arguments[0], where) for item in value)
    elif origin in (dict, Mapping):
        if isinstance(value, dict):
            return value
    elif origin is float and type(value) is int:
        return float(value)
    elif type(value) is origin:  # a truth value is no whole number
        return value
    raise InputError(f"{where} is {value!r}, expected {_words(origin, arguments)}")


def _words(origin: Any, arguments: tuple[Any, ...]) -> str:
    if origin in (dict, Mapping):
        return "a table"
    if origin not in (tuple, Sequence):
        return _WORDS[origin]
    some = "" if origin is Sequence or Ellipsis in arguments else f"{len(arguments)} "
    return f"a list of {some}{'texts' if arguments[0] is str else 'numbers'}"
