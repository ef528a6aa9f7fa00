"""What in names and headers tells that contrast agent was given."""

import re

# Whole tokens of a name, as scanners, BIDS and BraTS use them.
_CONTRAST = re.compile(
    r"t1(ce|c|gd|km|post)|(t1)?\+(c|gd)|ce|gd|gad|gado(linium|vist)?|post(contrast|gd)?|contrast|"
    r"dotarem|magnevist"
)
# "post" before one of these tells of an operation or a treatment, not of contrast agent.
_AFTER_POST = re.compile(r"op(erati(ve|on))?|surg(ery|ical)|resection|rt|(radio)?therapy|treatment")
# "no contrast", "pre gd": the token before takes it back.
_WITHOUT = re.compile(r"non?|not|w/o|without|pre|sans|ohne")
_NO_AGENT = ("no", "none", "n/a", "na", "0", "false")


def contrast_sign(text: str) -> str | None:
    """The token of a name that tells of contrast agent, if there is one."""
    tokens = re.split(r"[^a-z0-9+/]+", text.lower())
    for before, token, after in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
        operated = token == "post" and _AFTER_POST.fullmatch(after)
        if _CONTRAST.fullmatch(token) and not _WITHOUT.fullmatch(before) and not operated:
            return token
    return None


def agent_given(text: str) -> str | None:
    """The agent that a ContrastBolusAgent names, if it names one."""
    agent = text.strip()
    return None if not agent or agent.lower() in _NO_AGENT else agent
