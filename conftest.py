"""Rules for every test: what is required, the one Hypothesis profile, and ids that read."""

import os
import re
import signal

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# One worker a core runs the tests: a second thread in each would only wait for the other's.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The workers are told how wide the terminal of pytest is; the tables of tests go to pipes.
os.environ.pop("COLUMNS", None)

# Tests press Ctrl-C, which a shell has ignored in all that it starts in the background.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no failure, and the same commit tests the same examples wherever it is tested.
settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")

REQUIRE_ALL = os.environ.get("HAGAN_REQUIRE_ALL") == "1"

LONGEST_ID = 48
"""Characters of one value in the id of a test."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return _required((yield), item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return _required((yield), collector.nodeid)


def _required(report, name):
    """Where everything that tests need is present, a skipped test is one that failed to run."""
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        *_, reason = report.longrepr if isinstance(report.longrepr, tuple) else (report.longrepr,)
        report.outcome = "failed"
        report.longrepr = f"{name}: HAGAN_REQUIRE_ALL=1 allows no skip, and this was one: {reason}"
    return report


def pytest_make_parametrize_id(val):
    """Call a case by its values, `refused[slab=30]`, where pytest would count: `[values7]`."""
    text = " ".join(_in_words(val).split())
    if len(text) > LONGEST_ID:
        text = text[: LONGEST_ID - 2].rstrip() + ".."
    return text.encode("unicode_escape").decode("ascii")


def _in_words(value):
    match value:
        case str():
            return re.sub(r"\\(?=\W)", "", value)  # expected messages are patterns, with escapes
        case bytes():
            # What is no text may be drawn anew in each process.
            readable = re.sub(r"[^ -~]+", " ", value.decode()).strip() if value.isascii() else ""
            return f"{len(value)} bytes {readable}"
        case dict():
            return ",".join(f"{key}={_in_words(part)}" for key, part in value.items())
        case tuple() if value and all(type(part) is int and part > 0 for part in value):
            return "x".join(map(str, value))  # a shape or a size
        case list() | tuple():
            return ",".join(map(_in_words, value)) or "none"
        case set() | frozenset():
            return ",".join(sorted(map(_in_words, value))) or "none"
        case np.ndarray():
            return f"{value.dtype} {_in_words(value.shape)}"
        case BaseException():
            return f"{type(value).__name__} {value}"
        case _ if hasattr(value, "__name__"):
            return value.__name__.rpartition(".")[2]
        case _ if re.search(r"\b0x|\n", text := str(value)):
            return type(value).__name__  # an address is another in each process
        case _:
            return text
