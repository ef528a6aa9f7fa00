"""Whether a header states that contrast agent was given (PS3.3, C.7.6.4 and C.7.6.16.2.12)."""

from pydicom import Dataset

from hagan_clinic.imageio.contrast import agent_given
from hagan_clinic.imageio.contrast_fields import (
    AGENT_FIELDS,
    CIRCUMSTANCES,
    NAMES,
    contrast_field,
    contrast_name,
)
from hagan_clinic.imageio.dicom.values import items, text

SEQUENCES = (
    "ContrastBolusAgentSequence",
    "ContrastBolusIngredientCodeSequence",
    "ContrastBolusAdministrationRouteSequence",
)
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


def contrast_refusal(header: Dataset) -> str | None:
    """Why a series is taken for contrast-enhanced, if it is."""
    advice = "expected a scan without contrast agent; --allow-contrast takes it"
    used = _usage(header)
    field = "ContrastBolusUsageSequence" if used else None
    field = field or contrast_field({key: text(header, key) for key in AGENT_FIELDS})
    if not field and used is None:
        field = next((key for key in SEQUENCES if _names_one(header, key)), None)
    field = field or contrast_field({key: text(header, key) for key in (_AGENT, *CIRCUMSTANCES)})
    if field:
        # Not which: people write into it, and messages are for logs.
        return f"is contrast-enhanced (its header has {field}), {advice}"
    if named := contrast_name({key: text(header, key) for key in NAMES}):
        return f"looks contrast-enhanced ({named[0]!r} in {named[1]}), {advice}"
    return None


_AGENT = AGENT_FIELDS[0]


def _usage(header: Dataset) -> bool | None:
    """Whether a frame has agent in it; None where frames do not say."""
    answers = [
        text(usage, keyword).upper()
        for groups in _GROUPS
        for group in items(header, groups)
        for usage in items(group, "ContrastBolusUsageSequence")
        for keyword in ("ContrastBolusAgentAdministered", "ContrastBolusAgentDetected")
    ]
    return "YES" in answers if any(answers) else None


def _names_one(header: Dataset, keyword: str) -> bool:
    """Whether a sequence has an item, and not one that means none."""
    for item in items(header, keyword):
        named = text(item, "CodeMeaning")
        if not named or agent_given(named):
            return True
    return False
