"""What a series' timing says of its contrast, and when that is enough to take it for a T1.

Time-of-flight angiograms, surveys, coil calibrations and field maps are short gradient echoes as
many T1s are. A series that does not say what it is is taken for a T1 only where its timing and
preparation are those of a T1 and of nothing else that a head study has.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom import Dataset

from hagan_clinic.imageio.dicom.values import items, number, text, words

# Beginnings of Siemens' names of sequences, and words of ScanOptions, of what is no plain T1.
_NOT_T1_SEQUENCES = ("fm", "pc", "ep", "tof", "swi", "ci3d", "tfi", "de3d", "dess", "fid", "psif")
_ANGIOGRAPHY = {"TOF", "TOF_GEMS", "MRA", "PC", "INFLOW", "MT", "MT_GEMS", "TONE"}


@dataclass(frozen=True)
class Timing:
    """Repetition, echo and inversion time in ms, and the kind of echo."""

    repetition: float | None
    echo: float | None
    inversion: float | None
    gradient: bool
    planar: bool

    @classmethod
    def of(cls, header: Dataset) -> "Timing":
        """Of a classic header, or of the functional groups of an enhanced one."""
        kind = words(header, "ScanningSequence")
        pulse = text(header, "EchoPulseSequence").upper()
        return cls(
            _timing(header, "RepetitionTime", "MRTimingAndRelatedParametersSequence"),
            _timing(header, "EchoTime", "MREchoSequence", "EffectiveEchoTime"),
            _timing(header, "InversionTime", "MRModifierSequence", "InversionTimes"),
            "GR" in kind or pulse == "GRADIENT",
            "EP" in kind or text(header, "EchoPlanarPulseSequence").upper() == "YES",
        )

    def describe(self) -> str:
        """For messages."""
        text = f"TR {self.repetition:g} ms, TE {self.echo:g} ms"
        return f"{text}, TI {self.inversion:g} ms" if self.inversion else text

    def t1_like(self) -> bool:
        """Whether white matter is brighter than grey, and grey than fluid.

        Short echoes keep T2 out. T1 comes in by an inversion near the null of fluid's or grey
        matter's longitudinal magnetisation (250–1400 ms; shorter nulls fat, longer is FLAIR), by
        a short repetition of spin echoes (up to 1000 ms), or of gradient echoes (up to 500 ms).
        """
        if self.repetition is None or self.echo is None or self.planar:
            return False
        if self.inversion:
            return self.echo <= 30 and 250 <= self.inversion <= 1400
        if self.gradient:
            return self.echo <= 10 and self.repetition <= 500
        return self.echo <= 30 and self.repetition <= 1000


def guess_t1(header: Dataset, doubt: str | None = None) -> tuple[bool, str]:
    """Whether a series that does not say what it is may be taken for a T1, and why.

    Args:
        header: Of its first instance.
        doubt: A word of its description that calibrations, field maps or angiograms have.
    """
    timing = Timing.of(header)
    if timing.repetition is None or timing.echo is None:
        return False, (
            "does not tell its sequence (no description that is known, no RepetitionTime or "
            "EchoTime)"
        )
    if not timing.t1_like():
        return False, f"is no T1 by its timing ({timing.describe()})"
    unsure = f"{doubt!r} is in its description" if doubt else next(_doubts(header, timing), None)
    if unsure:
        return False, unsure_reason(f"T1 by its timing ({timing.describe()})", unsure)
    return True, f"T1 by its timing ({timing.describe()})"


def unsure_reason(like: str, why: str) -> str:
    """Of a series that is like a T1 and may be none."""
    return (
        f"may be a {like}, but its description does not say so, and {why}: look at it, and give it "
        "by --series if it is one"
    )


def _doubts(header: Dataset, timing: Timing) -> Iterator[str]:
    contrast = _contrast(header)
    if contrast not in ("", "T1", "UNKNOWN"):
        yield f"its AcquisitionContrast is {contrast}"
    if text(header, "AngioFlag").upper() == "Y":
        yield "its AngioFlag is Y"
    if found := _ANGIOGRAPHY.intersection(words(header, "ScanOptions")):
        yield f"its ScanOptions have {min(found)}"
    sequence = text(header, "SequenceName").lower().lstrip("*_")
    if sequence.startswith(_NOT_T1_SEQUENCES):
        yield "its SequenceName is of another sequence"
    if words(header, "ImageType")[:2] != ("ORIGINAL", "PRIMARY"):
        yield "its ImageType is not ORIGINAL\\PRIMARY"
    if not timing.gradient:
        if "SE" not in words(header, "ScanningSequence") and not timing.inversion:
            yield "its ScanningSequence is not given"
        return
    if text(header, "MRAcquisitionType") != "3D":
        yield "it is a 2D gradient echo, as surveys and field maps are"
    # Some write no InversionTime, but that the magnetisation is prepared.
    if not timing.inversion and "MP" not in words(header, "SequenceVariant"):
        yield (
            "it is a gradient echo without inversion, as angiograms, surveys, calibrations and "
            "field maps are"
        )


def _contrast(header: Dataset) -> str:
    """AcquisitionContrast of an enhanced image (PS3.3, C.8.13.3.1.6)."""
    contrast = text(header, "AcquisitionContrast")
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in items(header, groups)[:1]:
            for item in items(group, "MRImageFrameTypeSequence")[:1]:
                contrast = contrast or text(item, "AcquisitionContrast")
    return contrast.upper()


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
