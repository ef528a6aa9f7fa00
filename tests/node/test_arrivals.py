import errno
import os
import shutil
from pathlib import Path

import pytest

from hagan_clinic.node.arrivals import complete
from hagan_clinic.node.recovery import recover
from hagan_clinic.node.spool import STATES, Spool

UID = "1.2.840.99.7"


def contents(job):
    return sorted(path.read_bytes() for path in job.source.iterdir())


def test_an_instance_is_flushed_then_named_then_its_folder_flushed(spool, monkeypatch, store):
    store(spool, UID, f"{UID}.0", b"makes the folder")
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
    store(spool, UID, f"{UID}.1", b"x")
    assert done == ["file", "named", "folder"]


def test_a_duplicate_that_another_left_unflushed_is_flushed(spool, monkeypatch, store):
    name, _ = store(spool, UID, f"{UID}.1", b"x")
    flushed = []
    fsync = os.fsync

    def flush(descriptor):
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", flush)
    assert store(spool, UID, f"{UID}.1", b"x") == (name, "duplicate")
    source = spool.root / "incoming" / name / "source"
    assert flushed == [source, source.parent, source.parent.parent]


def test_the_very_same_instance_is_a_duplicate_wherever_its_series_is(spool, pair, store):
    for state in STATES:
        job = pair(spool, state)
        assert store(spool, UID, f"{UID}.1", b"instance 1") == (job.name, "duplicate"), state
        assert spool.jobs("incoming") == ([job] if state == "incoming" else [])
        shutil.rmtree(job.folder)


def test_a_full_disk_leaves_nothing_of_an_instance(small_disk, store):
    spool = Spool(small_disk / "spool")
    with pytest.raises(OSError) as caught:
        store(spool, UID, UID, bytes(100_000))
    assert caught.value.errno == errno.ENOSPC
    assert list((spool.root / "tmp").iterdir()) == []
    assert store(spool, UID, UID, b"small")[1] == "stored"
    spool.close()


@pytest.mark.parametrize("state", ["ready", "outbox", "done", "skipped", "failed"])
def test_a_late_instance_has_all_translated_again(spool, state, pair, store):
    earlier = pair(spool, state)
    store(spool, UID, f"{UID}.late", b"late")
    job = complete(spool, earlier.name)
    assert job.state == "ready"
    assert contents(job) == [b"instance 0", b"instance 1", b"late"]
    assert not job.result.exists()
    assert job.record() == {}
    assert [one.state for state in STATES for one in spool.jobs(state)] == ["ready"]


@pytest.mark.parametrize("state", ["running", "outbox"])
def test_a_late_instance_waits_for_what_is_in_hand(spool, state, pair, store):
    earlier = pair(spool, state)
    store(spool, UID, f"{UID}.late", b"late")
    with spool.held(earlier):
        assert complete(spool, earlier.name) is None
    assert earlier.result.exists()


class Crash(BaseException):
    pass


@pytest.mark.parametrize("state", ["ready", "outbox", "done", "failed"])
def test_a_crash_at_any_step_of_joining_late_instances_loses_none(
    tmp_path, monkeypatch, state, pair, store
):
    for step in range(100):
        spool = Spool(tmp_path / str(step))
        name = pair(spool, state).name
        for late in range(2):
            store(spool, UID, f"{UID}.late{late}", b"late %d" % late)
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
                complete(spool, name)
                crashed = False
            except Crash:
                crashed = True
        again = Spool(spool.root)
        recover(again)
        if again.jobs("incoming"):
            complete(again, name)
        (job,) = again.jobs("ready")
        assert contents(job) == [b"instance 0", b"instance 1", b"late 0", b"late 1"]
        assert not job.result.exists()
        if not crashed:
            break
    assert 3 < step < 99
