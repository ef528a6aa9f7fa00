"""The word that somebody meant who wrote another."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """What to add to "there is no such word": the known word nearest to it; nothing if none is.

    Example:
        >>> did_you_mean("transalte", ["train", "translate"])
        ". Did you mean 'translate'?"
        >>> did_you_mean("cook", ["train", "translate"])
        ''
    """
    by_case = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_case, n=1)
    return f". Did you mean {by_case[near[0]]!r}?" if near else ""
