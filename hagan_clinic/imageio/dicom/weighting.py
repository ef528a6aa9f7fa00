"""Which sequence a series is of: by the words of its description, else by its timing."""

from collections.abc import Mapping
from functools import lru_cache

from pydicom import Dataset

from hagan_clinic.imageio.contrast import known_word
from hagan_clinic.imageio.contrast_fields import NAMES
from hagan_clinic.imageio.dicom.timing import Timing, guess_t1
from hagan_clinic.imageio.dicom.values import text, words
from hagan_clinic.imageio.sequence_words import SEQUENCE_WORDS, SequenceKind
from hagan_clinic.imageio.tokens import tokens

_LONGEST_ECHO = 30.0  # ms; beyond it T2 shows
_T1 = (SequenceKind.T1, SequenceKind.TECHNIQUE)
_SEQUENCES = (*_T1, SequenceKind.FLAIR, SequenceKind.T2, SequenceKind.PD, SequenceKind.OTHER)


def weighting(header: Dataset, source: str) -> tuple[bool, str]:
    """Whether a series is of the sequence `source`, and by what it is known.

    A name tells it; where it tells of no sequence, the timing and more does, for a T1 alone (see
    `guess_t1`). SeriesDescription is read before ProtocolName, which may be the examination's.
    """
    if (named := _by_name(header, source)) is not None:
        return named
    if _wanted(source) != "t1":
        return False, f"does not say in its description that it is {source}"
    return guess_t1(header, _doubt(_said(header)))


def is_named(header: Dataset, source: str) -> bool:
    """Whether a series' names say that it is of the sequence `source`, and nothing against it."""
    named = _by_name(header, source)
    return named is not None and named[0]


def _by_name(header: Dataset, source: str) -> tuple[bool, str] | None:
    wanted = _wanted(source)
    said = _said(header)
    if "mp2rage" in said:
        return _mp2rage(header, said, wanted)
    named = {_of(kind): word for word, kind in reversed(said.items()) if kind in _SEQUENCES}
    technique = named.keys() == {"t1"} and SequenceKind.T1 not in said.values()
    if not named or (technique and _doubt(said)):
        return None
    # A FLAIR is T2-weighted, and an inversion-recovery T1 is sold as "T1 FLAIR".
    compatible = {wanted, "t2"} if wanted == "flair" else {wanted}
    if wanted == "t1" and any(word.startswith("t1") for word in said):
        compatible.add("flair")
    for kind, word in named.items():
        if kind not in compatible:
            return False, f"is no {wanted.upper()} ({word!r} in its description)"
    if wanted not in named:
        return None
    word = named[wanted]
    echo = Timing.of(header).echo
    if wanted == "t1" and echo is not None and echo > _LONGEST_ECHO:
        return False, (
            f"is called {word!r}, but its echo time is {echo:g} ms, "
            f"expected up to {_LONGEST_ECHO:g} ms"
        )
    return True, f"{word!r} in its description"


def _doubt(said: Mapping[str, SequenceKind]) -> str | None:
    return next((word for word, kind in said.items() if kind is SequenceKind.DOUBT), None)


def localizer_word(header: Dataset) -> str | None:
    """The word of a series' names by which it is a localizer, if there is one."""
    for keyword in NAMES:
        for word, kind in _words(text(header, keyword)):
            if kind is SequenceKind.LOCALIZER:
                return word
    return None


def _wanted(source: str) -> str:
    return "t1" if source.lower().startswith("t1") else source.lower()


def _of(kind: SequenceKind) -> str:
    """The sequence that a word is of, as models call it."""
    return "t1" if kind in _T1 else kind.value


def _said(header: Dataset) -> dict[str, SequenceKind]:
    """Words about sequences, of the first name that says which it is; else of all, in doubt."""
    doubts: dict[str, SequenceKind] = {}
    for keyword in NAMES:
        said = dict(_words(text(header, keyword)))
        if "mp2rage" in said or any(kind in _SEQUENCES for kind in said.values()):
            return said
        doubts |= {word: kind for word, kind in said.items() if kind is SequenceKind.DOUBT}
    return doubts


@lru_cache(maxsize=1024)
def _words(name: str) -> tuple[tuple[str, SequenceKind], ...]:
    found = ((token.word, SEQUENCE_WORDS.get(token.word)) for token in tokens(name, known_word))
    return tuple((word, kind) for word, kind in found if kind is not None)


def _mp2rage(header: Dataset, said: dict[str, SequenceKind], wanted: str) -> tuple[bool, str]:
    """Of its images the one named UNI is a T1; the two inversions and the T1 map are none."""
    uniform = {"uni", "unit1", "uniden"} & said.keys() or "UNI" in words(header, "ImageType")
    inversion = {"inv", "inv1", "inv2"} & said.keys()
    if wanted == "t1" and uniform and not inversion:
        return True, "'mp2rage' and 'uni' in its description"
    return False, f"is no {wanted.upper()} ('mp2rage' in its description, and not its UNI image)"
