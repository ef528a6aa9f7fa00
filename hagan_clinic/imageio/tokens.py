"""The words of a series' or a file's name, split as people write them.

`AX_3D_T1W+C` is ax, 3d, t1w, +, c; `axT1PostGd` is ax, t1, post, gd; `T1増強` is t1, 増強. Signs
that stand for "with" and "without" agent (`+C`, `C+`, `Gd-`) are words of their own; a hyphen
between words is none.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

PLUS, MINUS = "+", "-"

_LETTERS = str.maketrans({"ß": "ss", "ł": "l", "ø": "o", "æ": "ae", "đ": "d", "ı": "i", "œ": "oe"})
_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[0-9])(?=[A-Z][a-z])")
_DOTTED = re.compile(r"(?<![^\W_])(?:[^\W\d_]\.){2,}")  # k.l., i.v., m.d.c.
_BRACKETED = re.compile(r"\(([+-]+)\)")  # Gd(+)
_SHORT_FOR_WITHOUT = re.compile(r"(?<![^\W_])([su])\.(?=\s)", re.IGNORECASE)  # s. mdc
_SCRIPTS = r"぀-ヿ㐀-鿿가-힯"  # Japanese, Chinese, Korean: written without spaces
_PIECES = re.compile(
    r"(?<![^\W_])(?<!/)(?:w/wo|w/o|[wcsmuo]/)"  # with, without: w/o, c/ contraste, u/kontrast
    r"|\++"
    r"|(?<=[^\W_])-(?![^\s_)\]])"  # Gd- but not Gd-DTPA
    r"|(?<![^\s_(\[])-(?=[^\W_]|$)"  # -C, and "Gd -" at the end
    rf"|[{_SCRIPTS}]+|[^\W_{_SCRIPTS}]+"
    r"|&",
    re.IGNORECASE,
)
_LONGEST = 64  # letters of a compound


@dataclass(frozen=True)
class Token:
    """A word or sign of a name.

    Attributes:
        word: In lower case, without accents.
        before: What separates it from the token before: empty where the two are glued.
    """

    word: str
    before: str


def tokens(name: str, known: Callable[[str], bool]) -> tuple[Token, ...]:
    """The words of a name.

    Args:
        name: Of a series, a protocol or a file.
        known: Whether a word, in lower case, is one that needs no taking apart. Compounds are
            taken apart where the case of letters changes, or into known words alone.
    """
    name = _BRACKETED.sub(r"\1 ", unicodedata.normalize("NFKC", name))
    name = _SHORT_FOR_WITHOUT.sub(r"\1/ ", _DOTTED.sub(_without_dots, name))
    made: list[Token] = []
    end = 0
    for match in _PIECES.finditer(name):
        before = name[end : match.start()]
        end = match.end()
        for part in _parts(match.group(), known):
            made.append(Token(part, before))
            before = ""
    return tuple(made)


def fold(text: str) -> str:
    """In lower case, without accents; scripts without accents stay as they are."""
    folded = []
    for letter in text.lower():
        first, *marks = list(unicodedata.normalize("NFD", letter))
        accented = marks and all(unicodedata.combining(mark) for mark in marks)
        folded.append(first if accented else letter)
    return "".join(folded).translate(_LETTERS)


def _without_dots(match: re.Match[str]) -> str:
    return match.group().replace(".", "") + " "


def _parts(piece: str, known: Callable[[str], bool]) -> Iterator[str]:
    whole = fold(piece)
    if known(whole) or not any(letter.isalpha() for letter in whole):
        yield whole
        return
    humps = [fold(part) for part in _CASE.split(piece)]
    # "mPRAGE", "FireFLY": a change of case that makes no known words means nothing.
    if len(humps) > 1 and any(map(known, humps)):
        for part in humps:
            yield from _compound(part, known)
        return
    yield from _compound(whole, known)


def _compound(word: str, known: Callable[[str], bool]) -> tuple[str, ...]:
    """`t1postgd` as t1, post, gd; the word itself if known words do not make it up."""
    shortest = 1 if re.fullmatch(f"[{_SCRIPTS}]+", word) else 2

    @cache
    def made(rest: str) -> tuple[str, ...] | None:
        if not rest:
            return ()
        for size in range(len(rest), shortest - 1, -1):
            if known(rest[:size]) and (others := made(rest[size:])) is not None:
                return rest[:size], *others
        return None

    if known(word) or len(word) > _LONGEST:
        return (word,)
    return made(word) or (word,)
