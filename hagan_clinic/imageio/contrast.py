"""What in names and values shows that contrast agent was given, or that none was."""

import re
from dataclasses import dataclass
from functools import lru_cache

from hagan_clinic.imageio.contrast_words import Meaning, is_a_word, meanings
from hagan_clinic.imageio.sequence_words import SEQUENCE_WORDS, SequenceKind
from hagan_clinic.imageio.tokens import MINUS, PLUS, Token, fold, tokens

# Entities of BIDS that name people, sessions, tasks and grids, and no agent; all others are read.
_ENTITIES = re.compile(r"(?:^sub-[^_]*(?=_)|(?<![^_])(?:ses|task|space)-[^_]*)")
_CE = re.compile(r"(?:^|_)(ce-([^_.]+))")

_AGENTS = (Meaning.AGENT, Meaning.SHORT, Meaning.LETTERS, Meaning.SIGNED)
# Before these words `pre` says nothing of agent.
_OCCASIONS = (Meaning.EVENT, Meaning.OTHER)
# Alone at the end of a name they ask for no noun: AX T1 WITH, T1 APRES.
_ALONE = {"with", "w/", "avec", "apres", "after", "nach", "pos", "con", "cont"}
# What a field for an agent says where there was none, besides "without" in all languages.
_NONE = {"n", "na", "n/a", "false", "null", "nil", "nie", "ne", "nein", "nej", "ei", "yok"} | {
    *("nessuno", "ninguno", "nenhum", "aucun", "brak", "geen", "ingen", "нет", "なし", "无", "無")
}
_T1 = (SequenceKind.T1, SequenceKind.TECHNIQUE)
_SAID = (*_T1, SequenceKind.FLAIR, SequenceKind.T2, SequenceKind.PLAIN)


@dataclass(frozen=True)
class Reading:
    """What a name says of contrast agent; both may be empty, and it then says nothing.

    Attributes:
        given: The words by which it tells that agent was given, in lower case.
        native: Whether it says that none was.
    """

    given: str = ""
    native: bool = False


_LONGEST = 1024  # characters of a name that are read; DICOM's have 64, file names 255


def contrast_sign(text: str) -> str | None:
    """The words of a name that show contrast agent, if there are any."""
    return read_name(text).given or None


def agent_given(text: str) -> str | None:
    """The agent that a field for it names, if it names one."""
    value = fold(text[:_LONGEST]).strip()
    amount = re.match(r"[0-9]+(?:[.,][0-9]*)?", value)
    if amount and not float(amount[0].replace(",", ".")):
        return None
    if not any(letter.isalnum() for letter in value) or value in _NONE:
        return None
    first, *others = re.split(r"[\W_]+", value.strip("-_. "))
    none = Meaning.WITHOUT in meanings(first) and others[:1] != ["ionic"]
    # "S/C" alone is "sem contraste"; before an agent it tells how that was given.
    read = read_name(re.sub(r"^s/c\s+", "", value))
    return None if not read.given and (none or read.native) else text.strip()


def read_name(text: str) -> Reading:
    """Read the name of a series, a protocol or a file.

    An agent's name, "enhanced" or "post" tells of agent, except where a word beside it takes it
    back ("without", "pre", a minus) or gives it another sense ("post op", "low contrast",
    "GD_07"). Letters such as C tell only beside a T1, a plus, or "with" and "after". A name that
    says both, "with and without", is the study's and says nothing of the scan.
    """
    return _read(text[:_LONGEST])


@lru_cache(maxsize=1024)
def _read(text: str) -> Reading:
    if (entity := _CE.search(text)) and text.startswith(("sub-", "ses-", "ce-")):
        none = agent_given(entity[2]) is None
        return Reading(native=True) if none else Reading(given=fold(entity[1]))
    return _Reader(tokens(_ENTITIES.sub("_", text), known_word)).read()


def known_word(word: str) -> bool:
    """Whether the tables of words have a word, which names no one then."""
    return word in SEQUENCE_WORDS or is_a_word(word)


class _Reader:
    """The words of one name, read from left to right."""

    def __init__(self, words: tuple[Token, ...]) -> None:
        self._words = words
        self._meant = [meanings(one.word) for one in words]

    def read(self) -> Reading:
        native = False
        at = 0
        while at < len(self._words):
            if pair := self._with_and_without(at):
                at = self._end(pair, *_AGENTS, Meaning.WITH, Meaning.AND)
            elif self._is(at, Meaning.WITHOUT) or self._minus_before(at):
                end = self._end(at + 1, *_AGENTS)
                taken_back = any(self._is(i, *_AGENTS) for i in range(at + 1, end))
                alone = self._is(at, Meaning.NATIVE) and not self._is(at + 1, *_OCCASIONS)
                native = native or taken_back or alone or end == len(self._words)
                at = end
            elif self._is(at, *_AGENTS) and self._taken_back(at):
                native = True
                at += 2
            elif self._tells(at):
                return Reading(self._shown(at), native)
            else:
                native = native or self._is(at, Meaning.NATIVE)
                at += 1
        return Reading(native=native)

    def _is(self, at: int, *what: Meaning) -> bool:
        return 0 <= at < len(self._words) and not self._meant[at].isdisjoint(what)

    def _word(self, at: int) -> str:
        return self._words[at].word if 0 <= at < len(self._words) else ""

    def _before(self, at: int) -> str:
        """What separates a word from the one before."""
        return self._words[at].before if 0 <= at < len(self._words) else " "

    def _t1(self, at: int) -> bool:
        return SEQUENCE_WORDS.get(self._word(at)) in _T1

    def _end(self, at: int, *inside: Meaning) -> int:
        """Where words of these meanings, and what is between them, end; a stop ends them too."""
        also = (Meaning.WITHOUT, Meaning.FILLER, Meaning.BOTH)
        while self._is(at, *inside, *also) or (
            self._word(at) == PLUS and self._is(at + 1, *inside, *also)
        ):
            at += 1
            if set(".;,") & set(self._before(at)):
                break  # No contrast. Gadovist 10 ml
        return at

    def _with_and_without(self, at: int) -> int:
        """Where "with and without", "W WO", "pre/post" or the reverse ends; 0 if none begins."""
        if self._is(at, Meaning.BOTH):
            return at + 1
        then = at + 1
        while self._is(then, Meaning.AND) or self._word(then) == PLUS:
            then += 1
        found = (
            (self._is(at, Meaning.WITH) and self._is(then, Meaning.WITHOUT))
            or (self._is(at, Meaning.WITHOUT) and self._is(then, Meaning.WITH))
            or {self._word(at), self._word(then)} == {"pre", "post"}
        )
        return then + 1 if found else 0

    def _minus_before(self, at: int) -> bool:
        return self._word(at) == MINUS and self._word(at + 1) == "c"

    def _taken_back(self, at: int) -> bool:
        ends = not self._before(at + 1) or at + 2 == len(self._words)
        minus = self._word(at + 1) == MINUS and ends
        if self._word(at + 1) == "no":  # Gadovist, no reaction
            return at + 2 == len(self._words)
        return minus or self._is(at + 1, Meaning.BACK)

    def _tells(self, at: int) -> bool:
        if self._word(at).startswith(PLUS):
            return self._plus_tells(at)
        if self._word(at).rstrip("123456789") == "post":
            return not self._of_an_event(at)
        if self._word(at) in _ALONE and at == len(self._words) - 1:
            return self._names_a_t1(before=at)
        return (
            (self._is(at, Meaning.AGENT) and not self._of_the_image(at))
            or (self._is(at, Meaning.SHORT) and not self._is_a_code(at))
            or (self._is(at, Meaning.LETTERS, Meaning.SIGNED) and self._letters_tell(at))
        )

    def _names_a_t1(self, before: int) -> bool:
        return any(map(self._t1, range(before)))

    def _plus_tells(self, at: int) -> bool:
        """T1+ and T1 FS +, where the plus adds no other word."""
        if at == len(self._words) - 1:
            return self._names_a_t1(before=at)
        return self._t1(at - 1) and not self._before(at) and bool(self._before(at + 1))

    def _of_an_event(self, at: int) -> bool:
        """A "post" is after an operation, a therapy or months, or is beside "anterior"."""
        if self._word(at - 1) in ("ant", "anterior"):
            return True
        if set(":;,") & set(self._before(at + 1)):
            return False  # "T1 POST: Processed" says another thing
        return self._is(at + 1, Meaning.EVENT) or Meaning.LONG in self._unit(at + 1)

    def _unit(self, at: int) -> frozenset[Meaning]:
        """What the unit of the number at a place means, glued to it or behind."""
        number = re.fullmatch(r"[0-9]+([^\W\d_]*)", self._word(at))
        if not number or self._word(at) in SEQUENCE_WORDS:  # 3d is no number
            return frozenset()
        return meanings(number[1] or self._word(at + 1))

    def _of_the_image(self, at: int) -> bool:
        """The words contrast and enhanced are the image's: low contrast, contrast ratio."""
        if not self._word(at).startswith(("contrast", "kontrast", "enhanc")):
            return False
        return self._is(at - 1, Meaning.QUALITY) or self._is(at + 1, Meaning.QUALITY)

    def _is_a_code(self, at: int) -> bool:
        """GD_07 of a site or person, and CE-FAST: no agent."""
        if self._word(at) == "ce" and self._is(at + 1, Meaning.STEADY):
            return True
        numbered = self._word(at + 1)[:1].isdigit() and self._word(at + 1) not in SEQUENCE_WORDS
        if not numbered or Meaning.UNIT in self._unit(at + 1):
            return False
        return not any(SEQUENCE_WORDS.get(self._word(i)) in _SAID for i in range(at))

    def _letters_tell(self, at: int) -> bool:
        before = self._word(at - 1)
        if self._is(at + 1, Meaning.CERVICAL) or before == "ac" or before[:1].isdigit():
            return False  # C spine, AC-PC, 24 cm
        if self._signed(at) or self._after_a_word_for_with(at):
            return True
        if not self._is(at, Meaning.LETTERS) or "/" in self._before(at):  # t1/c/se is coronal
            return False
        return self._t1(at - 1) or (at == len(self._words) - 1 and self._names_a_t1(before=at))

    def _signed(self, at: int) -> bool:
        """A plus stands before it, or is glued behind."""
        behind = self._word(at + 1).startswith(PLUS) and not self._before(at + 1)
        return self._word(at - 1).startswith(PLUS) or behind

    def _after_a_word_for_with(self, at: int) -> bool:
        """Two single letters are initials."""
        longer = max(len(self._word(at)), len(self._word(at - 1))) > 1
        return longer and self._is(at - 1, Meaning.WITH, Meaning.AFTER)

    def _names(self, at: int) -> bool:
        """Whether a word is one of the tables' and no sign."""
        return at >= 0 and self._word(at).isalnum() and known_word(self._word(at))

    def _shown(self, at: int) -> str:
        """The words that show it, with the plus or the word that decides."""
        first = at - 1 if self._word(at - 1).startswith(PLUS) else at
        if self._is(at, Meaning.LETTERS, Meaning.SIGNED) and not self._signed(at):
            first = max(at - 1, 0)
        while self._word(first) != PLUS and not self._before(first) and self._names(first - 1):
            first -= 1  # the whole of t1ce; but no more than the tables have, which names no one
        last = at + 1 if self._word(at + 1).startswith(PLUS) and not self._before(at + 1) else at
        shown = self._word(first)
        for place in range(first + 1, last + 1):
            shown += (" " if self._before(place) else "") + self._word(place)
        return shown
