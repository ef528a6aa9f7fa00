"""Images whose grey values are spread unlike those of the rest of the cohort."""

from collections.abc import Sequence

import numpy as np

from hagan_clinic.data.check.finding import Finding, warning
from hagan_clinic.data.check.look import Look

FEWEST = 8
MOST_DEVIATIONS = 6.0
"""Robust standard deviations from the cohort's median."""

_SCALE = 1.4826  # of a median absolute deviation, to a standard deviation of a normal law


def outliers(looks: Sequence[Look]) -> list[Finding]:
    """Images whose middle half of grey values is unusually narrow or wide against all of them."""
    findings = []
    for sequence in dict.fromkeys(name for look in looks for name in look.images):
        known = [look for look in looks if sequence in look.images and look.inside.any()]
        if len(known) < FEWEST:
            continue
        spreads = np.array([_spread(look, sequence) for look in known])
        middle = np.median(spreads)
        deviation = _SCALE * np.median(np.abs(spreads - middle))
        for look, spread in zip(known, spreads, strict=True):
            if abs(spread - middle) > MOST_DEVIATIONS * max(deviation, 1e-3):
                findings.append(
                    warning(
                        look.name,
                        "intensity",
                        f"{sequence}: half of the brain's grey values lie in {spread:.0%} of their "
                        f"range, in the cohort's median image in {middle:.0%}; look at it",
                    )
                )
    return findings


def _spread(look: Look, sequence: str) -> float:
    low, first, third, high = np.percentile(look.images[sequence][look.inside], (1, 25, 75, 99))
    return float((third - first) / max(high - low, 1e-6))
