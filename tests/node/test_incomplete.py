import time

import pytest

from hagan_clinic.node.incomplete import INCOMPLETE, waits_in_vain


@pytest.mark.parametrize(
    ("seconds", "in_vain"),
    [(0.0, False), (890.0, False), (910.0, True), (-3600.0, True)],
    ids=["now", "a while", "long", "the clock was set back"],
)
def test_the_rest_is_waited_for_a_quarter_of_an_hour(spool, pair, monkeypatch, seconds, in_vain):
    job = pair(spool, "incoming")
    later = job.changed() + seconds
    monkeypatch.setattr(time, "time", lambda: later)
    assert not waits_in_vain(job)  # it is still coming in
    spool.note(job, outcome=INCOMPLETE, reason="1 of 3")
    assert waits_in_vain(job) is in_vain


def test_what_has_come_to_its_end_waits_for_nothing(spool, pair, monkeypatch):
    job = pair(spool, "failed")
    spool.note(job, outcome=INCOMPLETE)
    monkeypatch.setattr(time, "time", lambda: job.changed() + 1000)
    assert not waits_in_vain(job)
