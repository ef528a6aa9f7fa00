import shutil
import time

import pytest

from hagan_clinic.errors import InputError, OutputError
from hagan_clinic.node.recovery import recover
from hagan_clinic.node.spool import STATES, Spool
from hagan_clinic.node.standing import counts, strays

UID = "1.2.840.99.7"


def test_names_tell_nothing_and_are_the_same_after_a_restart(spool, tmp_path, store):
    name, _ = store(spool, UID, f"{UID}.1", b"x")
    assert Spool(spool.root).name_of(UID) == name
    assert Spool(tmp_path / "other").name_of(UID) != name
    assert not any(UID in str(path) for path in spool.root.rglob("*"))


def test_only_its_owner_may_look_into_the_spool(spool, store):
    store(spool, UID, f"{UID}.1", b"x")
    assert spool.root.stat().st_mode & 0o077 == 0


def test_a_series_waits_and_a_clock_that_is_set_back_does_not_prolong_it(spool, monkeypatch, pair):
    job = pair(spool, "ready")
    now = [5000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    spool.note(job, wait=10.0)
    assert spool.take(job) is None
    now[0] = 5009.9
    assert not job.is_due()
    now[0] = 4000.0
    assert job.is_due()
    now[0] = 5010.0
    assert spool.take(job).name == job.name


def test_what_is_no_series_is_left_alone_and_counted(spool, tmp_path, pair):
    job = pair(spool, "ready")
    for state in STATES:
        (spool.root / state / ".DS_Store").write_bytes(b"x")
        (spool.root / state / "a folder").mkdir()
        (spool.root / state / ("c" * 24)).symlink_to(tmp_path)
        (spool.root / state / ("d" * 24)).write_bytes(b"x")
    again = Spool(spool.root)
    recover(again)
    assert [one for state in STATES for one in again.jobs(state)] == [job]
    assert counts(again) == {state: state == "ready" for state in STATES}
    assert strays(again) == 4 * len(STATES)
    assert all((spool.root / state / ".DS_Store").exists() for state in STATES)


def test_a_series_that_cannot_be_moved_is_left_out_for_a_while(spool, monkeypatch, pair):
    stuck = pair(spool, "ready")
    shutil.copytree(stuck.folder, spool.root / "failed" / stuck.name)
    assert spool.set_aside(stuck, reason="damaged") is False
    assert spool.jobs("ready") == []
    assert spool.stuck() == 1
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 100)
    assert spool.jobs("ready") == [stuck]
    shutil.rmtree(spool.root / "failed" / stuck.name)
    assert spool.set_aside(stuck, reason="damaged") is True
    assert spool.stuck() == 0


def go_on(spool, job):
    shutil.rmtree(spool.root / "failed" / job.name)
    spool.take(job)


def purged(spool, job):
    spool.purge(type(job)(job.name, "failed", spool.root / "failed" / job.name))
    assert job.name not in spool._stuck


def vanish(spool, job):
    shutil.rmtree(job.folder)
    shutil.rmtree(spool.root / "failed" / job.name)


@pytest.mark.parametrize("change", [go_on, purged, vanish])
def test_a_series_that_goes_on_or_goes_is_stuck_no_more(spool, change, pair):
    stuck = pair(spool, "ready")
    shutil.copytree(stuck.folder, spool.root / "failed" / stuck.name)
    assert spool.set_aside(stuck, reason="damaged") is False
    assert spool.stuck() == 1
    change(spool, stuck)
    assert spool.stuck() == 0


@pytest.mark.parametrize("state", [None, "ready", "running", "done"])
def test_a_series_that_has_left_its_state_is_not_set_aside(spool, state, pair):
    job = pair(spool, "ready")
    if state is None:
        shutil.rmtree(job.folder)
    elif state == "ready":
        job = type(job)(job.name, "outbox", spool.root / "outbox" / job.name)
    else:
        spool.move(job, state)
    assert spool.set_aside(job, reason="of another's turn") is True
    assert spool.jobs("failed") == []
    assert state is None or len(spool.jobs(state)) == 1


def test_a_series_that_is_set_aside_keeps_what_is_known_of_it(spool, pair):
    job = pair(spool, "outbox")
    spool.note(job, sent_as="1.2.3", taken=1, reason="earlier")
    spool.set_aside(job, outcome="failed", reason="damaged")
    (failed,) = spool.jobs("failed")
    known = failed.record()
    assert (known["sent_as"], known["taken"]) == ("1.2.3", 1)
    assert (known["outcome"], known["reason"]) == ("failed", "damaged")


def test_a_second_listener_is_refused(spool):
    with (
        spool.alone(),
        pytest.raises(OutputError, match="in use by another listener"),
        Spool(spool.root).alone(),
    ):
        pass
    with Spool(spool.root).alone():
        pass


def test_retry_takes_failed_and_done_series_by_the_beginning_of_their_name(spool, pair):
    job = pair(spool, "failed")
    again = spool.retry(job.name[:5], accept_warnings=True)
    assert again.state == "ready"
    assert again.record() == {"accept_warnings": True}
    assert not again.result.exists()
    with pytest.raises(InputError, match="expected one"):
        spool.retry(job.name)


@pytest.mark.parametrize("state", ["failed", "skipped", "done", "outbox"])
def test_only_what_nothing_works_at_is_purged(spool, state, pair):
    spool.purge(pair(spool, state))
    assert spool.jobs(state) == []
    with pytest.raises(ValueError, match="ready"):
        spool.purge(pair(spool, "ready"))
    assert len(spool.jobs("ready")) == 1
