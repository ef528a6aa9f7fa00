"""Which series of a folder is the one to translate: rules that the user can see and override.

A series is assessed by, in this order: what it is (MR images of one channel), whether it is made up
already (SyntheticData), contrast agent, its kind (localizer, derived, phase), its weighting
(description first, then timing) and its geometry. One whose name tells its sequence goes before one
that is guessed to be of it; of several guesses none is taken. `--series` overrides kind and
weighting; the rest is refused in any case, contrast agent unless it is allowed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pydicom import Dataset

from hagan_clinic.errors import InputError, UnsuitableError
from hagan_clinic.imageio.contrast import contrast_sign
from hagan_clinic.imageio.contrast_fields import NAMES
from hagan_clinic.imageio.dicom.agent import contrast_refusal
from hagan_clinic.imageio.dicom.discovery import Found
from hagan_clinic.imageio.dicom.geometry import stack
from hagan_clinic.imageio.dicom.headers import MR_STORAGE
from hagan_clinic.imageio.dicom.series import Series, Stack
from hagan_clinic.imageio.dicom.timing import unsure_reason
from hagan_clinic.imageio.dicom.values import text, words
from hagan_clinic.imageio.dicom.weighting import is_named, localizer_word, weighting

MIN_SLICES = 5
"""Fewer are a localizer or a fragment."""

GUESS_COVERS_MM, GUESS_PIXEL_MM = 100.0, 2.0
"""A series that is taken for a T1 by its timing covers a brain with pixels up to so large: slabs of
angiograms do not, surveys and coil calibrations are coarser."""

# By how much thinner the slices, and how much larger the matrix, must be to decide.
_THINNER = 0.75
_LARGER = 1.5

_SYNTHETIC = "SYNTHETIC"

# Words of ImageType (PS3.3, C.7.6.1.1.2 and C.8.3.1.1.1) of what is computed from scans.
_COMPUTED = {
    "MPR", "REFORMATTED", "PROJECTION IMAGE", "MIP", "MAX_IP", "MIN_IP", "MINIP", "SUBTRACT",
    "SUBTRACTION", "ADC", "FA", "TRACEW", "TTP", "CBF", "CBV", "MTT", "T1 MAP", "T2 MAP",
    "R1", "R2", "PROPMAP", "STACKED", "SCREEN SAVE",
}  # fmt: skip
_PHASE = {"P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY", "PHASE_MAP", "IMAGINARY_PART"}


@dataclass(frozen=True)
class Verdict:
    """What the rules say of a series.

    Attributes:
        usable: Whether it would be translated.
        reason: Why, or why not.
        is_doubtful: Whether it may be a scan of that sequence all the same, and somebody should
            look: what stops it is its geometry, or that it has few slices under that name.
    """

    usable: bool
    reason: str
    is_doubtful: bool = False


def assess(series: Series, source: str = "t1", *, allow_contrast: bool = False) -> Verdict:
    """Whether a series is a scan of the sequence `source` that can be translated, and why.

    Args:
        series: As found.
        source: What the model calls its input. One that is named as contrast-enhanced itself
            takes contrast-enhanced scans.
        allow_contrast: Take contrast-enhanced scans regardless.
    """
    return _assessed(series, source, allow_contrast, chosen=False)[0]


def choose(
    found: Found, source: str = "t1", uid: str | None = None, *, allow_contrast: bool = False
) -> Stack:
    """The series to translate.

    Those named as the sequence go before those that are like it by their timing. Of several
    named ones of one study, a 3D acquisition is taken before 2D ones, then the one with plainly
    thinner slices, then the one with a plainly larger matrix. A guess is taken only where it is
    the only one, and no series that is named as the sequence cannot be used.

    Args:
        found: What there is.
        source: As in `assess`.
        uid: Series Instance UID of the series to take, whatever its kind and weighting.
        allow_contrast: As in `assess`.

    Raises:
        UnsuitableError: If there are series, and each is plainly another kind of image.
        InputError: If there is none, or `uid` cannot be used, or several are usable and none is
            plainly the better; they are listed. Also if a file is damaged that may belong to it.
    """
    if uid is not None:
        series = next((one for one in found.series if one.uid == uid), None)
        if series is None:
            _refuse_damaged(found, uid)
            raise InputError(f"there is no series {uid}; {_listing(found.series)}")
        verdict, chosen = _assessed(series, source, allow_contrast, chosen=True)
        _refuse_damaged(found, uid)
        if chosen is None:
            raise InputError(f"the series of --series cannot be used: {verdict.reason}")
        return chosen

    verdicts = [
        (one, *_assessed(one, source, allow_contrast, chosen=False)) for one in found.series
    ]
    stacks = [made for _, _, made in verdicts if made is not None]
    if not stacks:
        _refuse_damaged(found, None)
        if not found.series:
            raise InputError(
                f"found no DICOM series ({len(found.ignored)} other files), expected one"
            )
        doubtful = any(verdict.is_doubtful for _, verdict, _ in verdicts)
        kind = InputError if doubtful else UnsuitableError
        if len(verdicts) == 1:
            raise kind(f"the series cannot be used: {verdicts[0][1].reason}")
        reasons = "; ".join(f"{_label(one)}: {verdict.reason}" for one, verdict, _ in verdicts)
        raise kind(
            f"none of {len(verdicts)} series can be used ({reasons}); give another folder, or one "
            "of them by --series UID"
        )
    named = [made for made in stacks if is_named(made.series.header, source)]
    if not named:
        _refuse_unsure(stacks, verdicts, source)
    meant = named or stacks
    best = _plainly_best(meant)
    if best is None:
        raise InputError(
            f"{len(meant)} series can be used, and none is clearly the better; give one of them "
            f"by --series UID: {_listing([made.series for made in meant])}"
        )
    _refuse_damaged(found, best.series.uid)
    return best


def _refuse_unsure(
    guessed: list[Stack],
    verdicts: list[tuple[Series, Verdict, Stack | None]],
    source: str,
) -> None:
    """Refuse to choose by timing alone where more than one series could be meant."""
    refused = [
        f"{_label(one)}, which {verdict.reason}"
        for one, verdict, _ in verdicts
        if not verdict.usable and is_named(one.header, source) and not _kind(one.header)
    ]
    if len(guessed) == 1 and not refused:
        return
    unusable = f"; named so, but not usable: {'; '.join(refused)}" if refused else ""
    raise InputError(
        f"{len(guessed)} series may be {source} by their timing alone, none that can be used is "
        f"named so{unusable}; give one by --series UID: "
        f"{_listing([made.series for made in guessed])}"
    )


def _assessed(
    series: Series, source: str, allow_contrast: bool, *, chosen: bool
) -> tuple[Verdict, Stack | None]:
    contrast_taken = allow_contrast or contrast_sign(source) is not None
    for instance in series.instances:
        reason = _what_it_is(instance.header) or _synthetic(instance.header)
        if not reason and not contrast_taken:
            reason = contrast_refusal(instance.header)
        if not reason and not chosen:
            reason = _kind(instance.header)
        if reason:
            return Verdict(False, reason), None
    fits, why = (True, "given by --series") if chosen else weighting(series.header, source)
    if not fits:
        return Verdict(False, why), None
    try:
        made = stack(series)
    except InputError as error:
        return Verdict(False, str(error), is_doubtful=True), None
    if len(made.slices) < MIN_SLICES:
        few = f"has {len(made.slices)} slices, expected {MIN_SLICES} or more"
        # Of a named scan they may be all that has come so far.
        is_doubtful = not chosen and is_named(series.header, source)
        return Verdict(False, few, is_doubtful), None
    if not chosen and not is_named(series.header, source) and (doubt := _covers_no_head(made)):
        return Verdict(False, unsure_reason(why, doubt)), None
    return Verdict(True, why), made


def _covers_no_head(made: Stack) -> str | None:
    """What of a series that is like a T1 by its timing is not like a T1 of a head."""
    spacing = made.grid.spacing
    extents = [size * step for size, step in zip(made.grid.shape, spacing, strict=True)]
    if min(extents) >= GUESS_COVERS_MM and max(spacing[:2]) <= GUESS_PIXEL_MM:
        return None
    size = " x ".join(f"{extent:.0f}" for extent in extents)
    return f"it covers {size} mm with pixels of {max(spacing[:2]):.2g} mm"


def _what_it_is(header: Dataset) -> str | None:
    modality = text(header, "Modality")
    if modality != "MR":
        return f"is of the modality {modality or 'unknown'}, expected MR"
    photometric = text(header, "PhotometricInterpretation")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        return f"is a colour image ({photometric or 'no PhotometricInterpretation'})"
    storage = text(header, "SOPClassUID")
    if storage not in MR_STORAGE:
        return "is no MR image (SOPClassUID: secondary capture, report or the like)"
    return None


def _synthetic(header: Dataset) -> str | None:
    marked = text(header, "SyntheticData").upper() == "YES"
    if marked or any(_SYNTHETIC in text(header, keyword).upper() for keyword in NAMES):
        return (
            "is synthetic, expected a scan: translating it again would invent on top of invention; "
            "give the original"
        )
    return None


def _kind(header: Dataset) -> str | None:
    kind = words(header, "ImageType")
    if "LOCALIZER" in kind:
        return "is a localizer (ImageType)"
    if word := localizer_word(header):
        return f"is a localizer ({word!r} in its description)"
    if computed := _COMPUTED.intersection(kind):
        return f"is computed from scans (ImageType {min(computed)})"
    if "DERIVED" in kind[:1] and "UNI" not in kind:  # MP2RAGE's T1 is made of two inversions
        return "is derived from scans (ImageType DERIVED), expected ORIGINAL"
    if "SECONDARY" in kind[1:2]:
        return "is a secondary image (ImageType SECONDARY), expected PRIMARY"
    component = text(header, "ComplexImageComponent").upper()
    if _PHASE.intersection(kind[2:]) or component in ("PHASE", "REAL", "IMAGINARY"):
        return "is a phase, real or imaginary image, expected magnitude"
    return None


def _plainly_best(stacks: list[Stack]) -> Stack | None:
    if len({_study(made) for made in stacks}) > 1:
        return None
    three = [made for made in stacks if text(made.series.header, "MRAcquisitionType") == "3D"]
    if 0 < len(three) < len(stacks):
        return _plainly_best(three)
    if len(stacks) == 1:
        return stacks[0]
    thickness: Callable[[Stack], float] = lambda made: made.grid.spacing[2]  # noqa: E731
    thin, next_thin = sorted(stacks, key=thickness)[:2]
    if thickness(thin) <= _THINNER * thickness(next_thin):
        return thin
    matrix: Callable[[Stack], int] = lambda made: made.grid.shape[0] * made.grid.shape[1]  # noqa: E731
    small, large = sorted(stacks, key=matrix)[-2:]
    same_thickness = thickness(large) <= thickness(thin) / _THINNER
    return large if same_thickness and matrix(large) >= _LARGER * matrix(small) else None


def _study(made: Stack) -> tuple[str, str]:
    header = made.series.header
    return text(header, "PatientID"), text(header, "StudyInstanceUID")


def _refuse_damaged(found: Found, uid: str | None) -> None:
    """Refuse to leave out a file that may belong to the series; without `uid`, any."""
    for damaged in found.damaged:
        if uid is None or damaged.uid in (uid, None):
            raise InputError(
                f"{damaged.reason}, or remove it if it is not of the series"
                if damaged.uid is None
                else damaged.reason
            )


def _label(series: Series) -> str:
    return f"series {text(series.header, 'SeriesNumber') or '?'}"


def _listing(series: list[Series] | tuple[Series, ...]) -> str:
    labels = ", ".join(map(_label, series))
    return f"hagan-clinic inspect shows the UIDs of {labels}" if labels else "there is none"
