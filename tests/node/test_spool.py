import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from hagan_clinic.errors import InputError, OutputError
from hagan_clinic.node.spool import STATES, Spool, counts

UID = "1.2.840.99.7"


def contents(job):
    return sorted(path.read_bytes() for path in job.source.iterdir())


def place(spool, state):
    """A series of two instances in a state."""
    name = ""
    for number in range(2):
        name, _ = spool.store(UID, f"{UID}.{number}", b"instance %d" % number)
    if state == "incoming":
        return spool.find(name)
    job = spool.complete(name)
    if state != "ready":
        job = spool.take(job)
        job.result.mkdir()
        (job.result / "0001.dcm").write_bytes(b"derived")
        job = spool.move(job, state, reason="so") if state != "running" else job
    return job


def test_names_tell_nothing_and_are_the_same_after_a_restart(spool, tmp_path):
    name, _ = spool.store(UID, f"{UID}.1", b"x")
    assert Spool(spool.root).name_of(UID) == name
    assert Spool(tmp_path / "other").name_of(UID) != name
    assert not any(UID in str(path) for path in spool.root.rglob("*"))


def test_only_its_owner_may_look_into_the_spool(spool):
    spool.store(UID, f"{UID}.1", b"x")
    assert spool.root.stat().st_mode & 0o077 == 0


def test_an_instance_is_flushed_then_named_then_its_folder_flushed(spool, monkeypatch):
    spool.store(UID, f"{UID}.0", b"makes the folder")
    done = []
    fsync, replace = os.fsync, Path.replace

    def flushed(descriptor):
        done.append("folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file")
        fsync(descriptor)

    def named(path, target):
        done.append("named")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", named)
    spool.store(UID, f"{UID}.1", b"x")
    assert done == ["file", "named", "folder"]


def test_a_duplicate_that_another_left_unflushed_is_flushed(spool, monkeypatch):
    name, _ = spool.store(UID, f"{UID}.1", b"x")
    flushed = []
    fsync = os.fsync

    def flush(descriptor):
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", flush)
    assert spool.store(UID, f"{UID}.1", b"x") == (name, "duplicate")
    source = spool.root / "incoming" / name / "source"
    assert flushed == [source, source.parent, source.parent.parent]


def test_a_series_waits_and_a_clock_that_is_set_back_does_not_prolong_it(spool, monkeypatch):
    job = place(spool, "ready")
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


def test_the_very_same_instance_is_a_duplicate_wherever_its_series_is(spool):
    for state in STATES:
        job = place(spool, state)
        assert spool.store(UID, f"{UID}.1", b"instance 1") == (job.name, "duplicate"), state
        assert spool.jobs("incoming") == ([job] if state == "incoming" else [])
        shutil.rmtree(job.folder)


@pytest.mark.parametrize("state", ["ready", "outbox", "done", "skipped", "failed"])
def test_a_late_instance_has_all_translated_again(spool, state):
    earlier = place(spool, state)
    spool.store(UID, f"{UID}.late", b"late")
    job = spool.complete(earlier.name)
    assert job.state == "ready"
    assert contents(job) == [b"instance 0", b"instance 1", b"late"]
    assert not job.result.exists()
    assert job.record() == {}
    assert [one.state for state in STATES for one in spool.jobs(state)] == ["ready"]


@pytest.mark.parametrize("state", ["running", "outbox"])
def test_a_late_instance_waits_for_what_is_in_hand(spool, state):
    earlier = place(spool, state)
    spool.store(UID, f"{UID}.late", b"late")
    with spool.held(earlier):
        assert spool.complete(earlier.name) is None
    assert earlier.result.exists()


class Crash(BaseException):
    pass


@pytest.mark.parametrize("state", ["ready", "outbox", "done", "failed"])
def test_a_crash_at_any_step_of_joining_late_instances_loses_none(tmp_path, monkeypatch, state):
    for step in range(100):
        spool = Spool(tmp_path / str(step))
        name = place(spool, state).name
        for late in range(2):
            spool.store(UID, f"{UID}.late{late}", b"late %d" % late)
        with monkeypatch.context() as patched:
            left = iter(range(step))

            def counted(original, left=left):
                def call(*arguments, **options):
                    if next(left, None) is None:
                        raise Crash
                    return original(*arguments, **options)

                return call

            for owner, function in [(Path, "replace"), (Path, "rename"), (Path, "unlink")]:
                patched.setattr(owner, function, counted(getattr(owner, function)))
            patched.setattr(shutil, "rmtree", counted(shutil.rmtree))
            try:
                spool.complete(name)
                crashed = False
            except Crash:
                crashed = True
        again = Spool(spool.root)
        again.recover()
        if again.jobs("incoming"):
            again.complete(name)
        (job,) = again.jobs("ready")
        assert contents(job) == [b"instance 0", b"instance 1", b"late 0", b"late 1"]
        assert not job.result.exists()
        if not crashed:
            break
    assert 3 < step < 99


def test_what_was_running_at_a_crash_begins_again_without_its_half_result(spool):
    place(spool, "running")
    (spool.root / "tmp" / "half").write_bytes(b"not acknowledged")
    again = Spool(spool.root)
    assert again.recover() == 1
    (job,) = again.jobs("ready")
    assert not job.result.exists()
    assert job.record()["attempts"] == 1
    assert list((spool.root / "tmp").iterdir()) == []


def test_what_a_kill_left_half_made_is_removed_at_the_next_start(spool):
    begun = spool.root / "incoming" / ("a" * 24)
    (begun / "source").mkdir(parents=True)
    barely = spool.root / "incoming" / ("b" * 24)
    barely.mkdir()
    job = place(spool, "running")
    (job.folder / ".0123456789ab.result").mkdir()
    (job.folder / ".0123456789ab.record.json").write_text("{")
    again = Spool(spool.root)
    assert again.recover() == 1
    (ready,) = again.jobs("ready")
    assert sorted(path.name for path in ready.folder.iterdir()) == ["record.json", "source"]
    assert not begun.exists() and not barely.exists()


def test_what_is_no_series_is_left_alone_and_counted(spool, tmp_path):
    job = place(spool, "ready")
    for state in STATES:
        (spool.root / state / ".DS_Store").write_bytes(b"x")
        (spool.root / state / "a folder").mkdir()
        (spool.root / state / ("c" * 24)).symlink_to(tmp_path)
        (spool.root / state / ("d" * 24)).write_bytes(b"x")
    again = Spool(spool.root)
    again.recover()
    assert [one for state in STATES for one in again.jobs(state)] == [job]
    assert counts(again) == {state: state == "ready" for state in STATES}
    assert again.strays() == 4 * len(STATES)
    assert all((spool.root / state / ".DS_Store").exists() for state in STATES)


def test_a_series_that_cannot_begin_again_does_not_stop_the_start(spool):
    job = place(spool, "running")
    shutil.copytree(job.folder, spool.root / "ready" / job.name)
    again = Spool(spool.root)
    again.recover()
    (failed,) = again.jobs("failed")
    assert "cannot begin again" in failed.record()["reason"]


def test_a_series_that_cannot_be_moved_is_left_out_for_a_while(spool, monkeypatch):
    stuck = place(spool, "ready")
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
def test_a_series_that_goes_on_or_goes_is_stuck_no_more(spool, change):
    stuck = place(spool, "ready")
    shutil.copytree(stuck.folder, spool.root / "failed" / stuck.name)
    assert spool.set_aside(stuck, reason="damaged") is False
    assert spool.stuck() == 1
    change(spool, stuck)
    assert spool.stuck() == 0


@pytest.mark.parametrize("state", [None, "ready", "running", "done"])
def test_a_series_that_has_left_its_state_is_not_set_aside(spool, state):
    job = place(spool, "ready")
    if state is None:
        shutil.rmtree(job.folder)
    elif state == "ready":
        job = type(job)(job.name, "outbox", spool.root / "outbox" / job.name)
    else:
        spool.move(job, state)
    assert spool.set_aside(job, reason="of another's turn") is True
    assert spool.jobs("failed") == []
    assert state is None or len(spool.jobs(state)) == 1


def test_a_series_that_is_set_aside_keeps_what_is_known_of_it(spool):
    job = place(spool, "outbox")
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


def test_a_full_disk_leaves_nothing_of_an_instance(small_disk):
    spool = Spool(small_disk / "spool")
    with pytest.raises(OSError) as caught:
        spool.store(UID, UID, bytes(100_000))
    assert caught.value.errno == errno.ENOSPC
    assert list((spool.root / "tmp").iterdir()) == []
    assert spool.store(UID, UID, b"small")[1] == "stored"
    spool.close()


def test_retry_takes_failed_and_done_series_by_the_beginning_of_their_name(spool):
    job = place(spool, "failed")
    again = spool.retry(job.name[:5], accept_warnings=True)
    assert again.state == "ready"
    assert again.record() == {"accept_warnings": True}
    assert not again.result.exists()
    with pytest.raises(InputError, match="expected one"):
        spool.retry(job.name)


@pytest.mark.parametrize("state", ["failed", "skipped", "done", "outbox"])
def test_only_what_nothing_works_at_is_purged(spool, state):
    spool.purge(place(spool, state))
    assert spool.jobs(state) == []
    with pytest.raises(ValueError, match="ready"):
        spool.purge(place(spool, "ready"))
    assert len(spool.jobs("ready")) == 1
