"""Where everything that tests need is present, a skipped test is a test that failed to run."""

import os
import signal

import pytest

# One worker a core runs the tests: a second thread in each would only wait for the other's.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests press Ctrl-C, which a shell has ignored in all that it starts in the background.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REQUIRE_ALL = os.environ.get("HAGAN_REQUIRE_ALL") == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return _required((yield), item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return _required((yield), collector.nodeid)


def _required(report, name):
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        *_, reason = report.longrepr if isinstance(report.longrepr, tuple) else (report.longrepr,)
        report.outcome = "failed"
        report.longrepr = f"{name}: HAGAN_REQUIRE_ALL=1 allows no skip, and this was one: {reason}"
    return report
