import shutil
import time
from collections import namedtuple

import pytest

from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.retention import Retention
from hagan_clinic.node.spool import STATES

DAY = 86400.0


def place(spool, state, age_days=0.0, size=1000):
    uid = f"{state}{age_days}"
    name, _ = spool.store(uid, uid, bytes(size))
    if state == "incoming":
        return
    job = spool.complete(name)
    spool.note(job, ended=time.time() - age_days * DAY)
    if state != "ready":
        spool.move(job, state)


def left(spool):
    return {state: len(spool.jobs(state)) for state in STATES if spool.jobs(state)}


def test_old_done_and_failed_series_go_and_nothing_else(spool):
    for state in STATES:
        place(spool, state, age_days=100)
    place(spool, "done", age_days=0.5)
    place(spool, "failed", age_days=10)
    Retention(spool, NodeConfig(keep_done_days=1.0, keep_failed_days=14.0))()
    assert left(spool) == {
        **dict.fromkeys(("incoming", "ready", "running", "outbox"), 1),
        "done": 1,
        "failed": 1,
    }


@pytest.mark.parametrize(
    ("share", "expected"),
    [(1.0, {"done": 2, "failed": 1}), (0.7, {"done": 1, "failed": 1}), (0.1, {})],
)
def test_beyond_its_share_of_the_disk_done_goes_before_failed(spool, monkeypatch, share, expected):
    place(spool, "done", 0.2, size=100_000)
    place(spool, "done", 0.1, size=100_000)
    place(spool, "failed", 0.3, size=100_000)
    place(spool, "outbox", 0.3, size=1000)
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(310_000 + 50_000, 0, 0))
    Retention(spool, NodeConfig(max_disk_share=share))()
    assert left(spool) == {"outbox": 1, **expected}
