"""Which sequence a series is of: by the words of its description, else by its timing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom import Dataset

from hagan_clinic.imageio.dicom.values import items, number, text, words

DESCRIPTIONS = ("SeriesDescription", "ProtocolName")

# Whole words of a description, as scanners and sites use them.
_WEIGHTINGS = {
    "t1": re.compile(
        r"(3d|ax|axial|sag|sagittal|cor|coronal)?(t1|t1w|t1n|t1weighted|t1wi|mprage|spgr|fspgr|"
        r"bravo|tfe|tfl|irspgr|irfspgr|vibe|fl2d|fl3d|flash|t1tfe|t1se|t1tse|t1fse|t1ffe|t1mprage)"
    ),
    "flair": re.compile(r"(3d|ax|sag|cor)?(t2)?(tirm|flair|darkfluid)"),
    "t2": re.compile(r"(3d|ax|sag|cor)?(t2|t2w|t2wi|t2tse|t2fse|t2se|ciss|fiesta)"),
    "pd": re.compile(r"(3d|ax|sag|cor)?(pd|pdw|pd_?t2|dp)"),
    "other": re.compile(
        r"(ep2d|epi)?(dwi|dti|diff|diffusion|adc|trace\w*|swi|swan|susceptibility|t2star|t2\*|"
        r"gre_?field|fieldmap|fmri|bold|asl|pcasl|perf|perfusion|dsc|dce|tof|mra|angio|mrv|mrs|"
        r"svs|csi|stir|mp2rage|qsm|b0|b1|b1000|vwi)"
    ),
}

_LONGEST_ECHO = 30.0  # ms; beyond it T2 shows


def weighting(header: Dataset, source: str) -> tuple[bool, str]:
    """Whether a series is of the sequence `source`, and by what that was told."""
    wanted = "t1" if source.lower().startswith("t1") else source.lower()
    timing = _Timing.of(header)
    named: dict[str, str] = {}
    for token in tokens(header):
        for kind, pattern in _WEIGHTINGS.items():
            if pattern.fullmatch(token):
                named.setdefault(kind, token)
    if named:
        # An inversion-recovery T1 is sold as "T1 FLAIR".
        compatible = {wanted, "flair"} if wanted == "t1" and wanted in named else {wanted}
        for kind, token in named.items():
            if kind not in compatible:
                return False, f"is no {wanted.upper()} ({token!r} in its description)"
        if wanted == "t1" and timing.echo is not None and timing.echo > _LONGEST_ECHO:
            return False, (
                f"is called {named[wanted]!r}, but its echo time is {timing.echo:g} ms, "
                f"expected up to {_LONGEST_ECHO:g} ms"
            )
        return True, f"{named[wanted]!r} in its description"
    if wanted != "t1":
        return False, f"does not say in its description that it is {source}"
    return timing.t1_like()


def tokens(header: Dataset) -> Iterator[str]:
    """The words of a description, in lower case."""
    for keyword in DESCRIPTIONS:
        yield from re.split(r"[^a-z0-9*]+", text(header, keyword).lower())


@dataclass(frozen=True)
class _Timing:
    """Repetition, echo and inversion time in ms, and the kind of echo."""

    repetition: float | None
    echo: float | None
    inversion: float | None
    gradient: bool
    planar: bool

    @classmethod
    def of(cls, header: Dataset) -> "_Timing":
        sequence = words(header, "ScanningSequence")
        pulse = text(header, "EchoPulseSequence").upper()
        return cls(
            _timing(header, "RepetitionTime", "MRTimingAndRelatedParametersSequence"),
            _timing(header, "EchoTime", "MREchoSequence", "EffectiveEchoTime"),
            _timing(header, "InversionTime", "MRModifierSequence", "InversionTimes"),
            "GR" in sequence or pulse == "GRADIENT",
            "EP" in sequence or text(header, "EchoPlanarPulseSequence").upper() == "YES",
        )

    def t1_like(self) -> tuple[bool, str]:
        """Whether white matter is brighter than grey, and grey than fluid, by the timing.

        Short echoes keep T2 out. T1 comes in by an inversion near the null of fluid's or grey
        matter's longitudinal magnetisation (250–1400 ms; shorter nulls fat, longer is FLAIR), by
        a short repetition of spin echoes (up to 1000 ms), or of gradient echoes (up to 500 ms).
        """
        if self.repetition is None or self.echo is None:
            return False, (
                "does not tell its sequence (no description that is known, no RepetitionTime or "
                "EchoTime)"
            )
        told = f"TR {self.repetition:g} ms, TE {self.echo:g} ms"
        if self.inversion:
            told += f", TI {self.inversion:g} ms"
            fits = self.echo <= _LONGEST_ECHO and 250 <= self.inversion <= 1400
        elif self.gradient:
            fits = self.echo <= 10 and self.repetition <= 500
        else:
            fits = self.echo <= _LONGEST_ECHO and self.repetition <= 1000
        fits = fits and not self.planar
        return fits, f"{'T1 by its timing' if fits else 'is no T1 by its timing'} ({told})"


def _timing(
    header: Dataset, keyword: str, sequence: str, inside: str | None = None
) -> float | None:
    """A time of a classic header, or of the functional groups of an enhanced one."""
    if (found := number(header, keyword)) is not None:
        return found
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in items(header, groups)[:1]:
            for item in items(group, sequence)[:1]:
                if (found := number(item, inside or keyword)) is not None:
                    return found
    return None
