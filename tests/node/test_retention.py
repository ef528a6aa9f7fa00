import json
import shutil
import time
from collections import namedtuple

import pytest

from hagan_clinic.node.arrivals import complete
from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.endings import Endings
from hagan_clinic.node.incomplete import INCOMPLETE
from hagan_clinic.node.metrics import Metrics
from hagan_clinic.node.retention import Retention
from hagan_clinic.node.spool import STATES
from hagan_clinic.node.standing import incomplete

DAY = 86400.0


@pytest.fixture
def place(store):
    """A function that puts a series into a state."""

    def placed(spool, state, uid="", size=1000):
        name, _ = store(spool, state + uid, state + uid, bytes(size))
        if state == "incoming":
            return
        job = complete(spool, name)
        spool.note(job, ended=time.time())
        if state != "ready":
            spool.move(job, state)

    return placed


def left(spool):
    return {state: len(spool.jobs(state)) for state in STATES if spool.jobs(state)}


def retention(spool, **settings):
    return Retention(spool, NodeConfig(**settings), Endings(spool, Metrics(spool)))


@pytest.fixture
def clock(monkeypatch):
    """The machine's two clocks: what `wall` and `worked` are moved by."""
    moved = {"wall": 0.0, "worked": 0.0}
    wall, worked = time.time, time.monotonic
    monkeypatch.setattr(time, "time", lambda: wall() + moved["wall"])
    monkeypatch.setattr(time, "monotonic", lambda: worked() + moved["worked"])
    return moved


def test_what_ended_long_ago_goes_and_nothing_else(spool, clock, place):
    for state in STATES:
        place(spool, state)
    keep = retention(spool, keep_done_days=1.0, keep_skipped_days=2.0, keep_failed_days=14.0)
    keep()
    held = dict.fromkeys(("incoming", "ready", "running", "outbox"), 1)
    assert left(spool) == {**held, "done": 1, "skipped": 1, "failed": 1}
    clock["worked"] = 1.1 * DAY
    keep()
    assert left(spool) == {**held, "skipped": 1, "failed": 1}
    clock["worked"] = 2.1 * DAY
    keep()
    assert left(spool) == {**held, "failed": 1}
    clock["worked"] = 14.1 * DAY
    keep()
    assert left(spool) == held


@pytest.mark.parametrize("years", [-30, 30])
def test_a_clock_that_is_set_deletes_nothing_while_it_runs_or_while_it_is_stopped(
    spool, clock, years, place
):
    for state in ("done", "skipped", "failed"):
        place(spool, state)
    keep = retention(spool)
    keep()
    clock["wall"] = years * 365 * DAY
    keep()
    clock["wall"] *= 2
    again = retention(spool)  # as after a restart
    again()
    assert left(spool) == {"done": 1, "skipped": 1, "failed": 1}


def test_the_time_of_all_starts_counts_and_of_stops_an_hour(spool, clock, place):
    place(spool, "done")
    for _ in range(3):
        keep = retention(spool, keep_done_days=1.0)
        keep()
        clock["worked"] += 0.3 * DAY
        clock["wall"] += 0.3 * DAY
        keep()
        clock["wall"] += 60 * DAY
    assert left(spool) == {"done": 1}
    for _ in range(2):
        clock["worked"] += 0.05 * DAY
        keep()
    assert left(spool) == {}


def test_a_lost_clock_and_a_damaged_record_keep_nothing_for_ever(spool, clock, place):
    place(spool, "done")
    place(spool, "done", "damaged")
    keep = retention(spool)
    keep()
    (spool.root / "clock.json").write_text("no clock")
    job = spool.jobs("done")[1]
    (job.folder / "record.json").write_text("{")
    again = retention(spool, keep_done_days=1.0)
    again()
    assert left(spool) == {"done": 1, "failed": 1}
    clock["worked"] = 1.1 * DAY
    again()
    assert left(spool) == {"failed": 1}
    assert json.loads((spool.root / "clock.json").read_text())["seconds"] > DAY


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (1.0, {"skipped": 1, "done": 1, "failed": 1}),
        (0.7, {"done": 1, "failed": 1}),
        (0.4, {"failed": 1}),
        (0.1, {}),
    ],
)
def test_beyond_its_share_of_the_disk_failed_goes_last(spool, monkeypatch, share, expected, place):
    for state in ("failed", "done", "skipped"):
        place(spool, state, size=100_000)
    place(spool, "outbox")
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(310_000 + 50_000, 0, 0))
    retention(spool, max_disk_share=share)()
    assert left(spool) == {"outbox": 1, **expected}


def test_what_is_held_back_as_incomplete_goes_like_what_failed_and_what_comes_in_stays(
    spool, clock, place
):
    place(spool, "incoming")
    place(spool, "incoming", "held")
    held = spool.find(spool.name_of("incomingheld"))
    spool.note(held, outcome=INCOMPLETE, reason="1 of 2")
    keep = retention(spool, keep_failed_days=14.0)
    for day in (0.0, 13.9):
        clock["worked"] = day * DAY
        keep()
        assert left(spool) == {"incoming": 2}
    clock["worked"] = 14.1 * DAY
    keep()
    assert incomplete(spool) == {}
    assert left(spool) == {"incoming": 1}


def test_a_first_start_tells_of_no_stop(spool, caplog):
    retention(spool)()
    assert "long stop" not in caplog.text
