"""Text from outside, such as a header's, a model's or a file's name, made fit for a terminal.

Control characters could move the cursor and write over what was said before, or colour, hide and
turn round what follows.
"""

from typing import Any


def printable(text: str) -> str:
    r"""The text with every character that prints as none written as its escape; lines stay lines.

    Example:
        >>> print(printable("T1\x1b[2K \u202egnp"))
        T1\x1b[2K \u202egnp
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode()
        for one in text
    )


def printable_in(value: Any) -> Any:
    """A value of JSON with every text in it made printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [printable_in(part) for part in value]
    if isinstance(value, dict):
        return {printable(key): printable_in(part) for key, part in value.items()}
    return value
