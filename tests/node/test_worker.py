import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from hagan_clinic.errors import DeviceError, InputError, OutputError, UnsuitableError
from hagan_clinic.node.arrivals import complete
from hagan_clinic.node.audit import AuditError
from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.metrics import Metrics
from hagan_clinic.node.recovery import recover
from hagan_clinic.node.spool import Spool
from hagan_clinic.node.worker import Translated, Worker

DONE = Translated("model", "0" * 64, "cpu", ())


@pytest.fixture
def stored(store):
    """A function that gives a ready series of two instances."""

    def ready(spool, uid="1.2.3"):
        for number in range(2):
            name, _ = store(spool, uid, f"{uid}.{number}", b"%d" % number)
        return complete(spool, name)

    return ready


def worker(spool, translate, **settings):
    return Worker(spool, translate, NodeConfig(**settings), Metrics(spool))


def writes(source, output, supersedes=(), warnings=()):
    output.mkdir()
    (output / "0001.dcm").write_bytes(b"derived")
    return Translated("model", "0" * 64, "cpu", warnings)


def failing(error):
    def translate(source, output, supersedes):
        output.mkdir()
        (output / "0001.dcm").write_bytes(b"half")
        raise error

    return translate


def lines(spool):
    return [json.loads(line) for line in (spool.root / "audit.jsonl").read_text().splitlines()]


def test_a_result_goes_to_the_outbox_flushed(spool, monkeypatch, stored):
    stored(spool)
    flushed = []
    fsync = os.fsync

    def told(descriptor):
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", told)
    worker(spool, writes)()
    (job,) = spool.jobs("outbox")
    assert [path.read_bytes() for path in job.result.iterdir()] == [b"derived"]
    assert any(path.endswith("result/0001.dcm") for path in flushed)
    assert any(path.endswith("/result") for path in flushed)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(InputError("a gap"), "refused"), (ValueError("of Jane Doe"), "failed")],
)
def test_a_failure_is_kept_with_its_reason_and_nothing_of_it_is_logged(
    spool, error, outcome, caplog, stored
):
    stored(spool)
    worker(spool, failing(error))()
    (job,) = spool.jobs("failed")
    assert job.record()["outcome"] == outcome
    assert str(error) in job.record()["reason"]
    assert not job.result.exists()
    assert [line["outcome"] for line in lines(spool)] == [outcome]
    assert str(error) not in caplog.text + json.dumps(lines(spool))


@pytest.mark.parametrize("error", [OutputError("disk"), DeviceError("gpu"), MemoryError("full")])
def test_what_may_pass_is_tried_again_after_a_while_but_not_for_ever(spool, error, waiting, stored):
    stored(spool)
    work = worker(spool, failing(error), attempts=2, retry_first=0.01, retry_longest=0.01)
    waiting(lambda: work() or spool.jobs("failed"))
    (job,) = spool.jobs("failed")
    assert job.record()["attempts"] == 3
    assert str(error) in job.record()["reason"]


def test_a_wait_is_kept_to_and_told(spool, stored, caplog):
    stored(spool)
    work = worker(spool, failing(OutputError("disk")), retry_first=1000.0, retry_longest=1000.0)
    work()
    work()
    (job,) = spool.jobs("ready")
    assert job.record()["attempts"] == 1
    told = [record for record in caplog.records if record.msg == "not translated"]
    assert [record.args["retry_in"] for record in told] == [1000.0]


def test_a_series_that_ends_the_process_is_given_up_at_last(spool, stored):
    stored(spool)

    class KilledError(BaseException):
        pass

    for _ in range(3):
        with pytest.raises(KilledError):
            worker(spool, failing(KilledError()), attempts=3)()
        spool = Spool(spool.root)
        recover(spool)
    worker(spool, failing(KilledError()), attempts=3)()
    (job,) = spool.jobs("failed")
    assert "the process ended each time" in job.record()["reason"]


@pytest.mark.parametrize(
    ("settings", "accepted", "state"),
    [({}, False, "failed"), ({"warnings": "send"}, False, "outbox"), ({}, True, "outbox")],
)
def test_doubts_keep_a_series_back_unless_told_otherwise(spool, settings, accepted, state, stored):
    job = stored(spool)
    if accepted:
        spool.note(job, accept_warnings=True)
    worker(spool, lambda s, o, _: writes(s, o, warnings=("thick slices",)), **settings)()
    (job,) = spool.jobs(state)
    assert job.record().get("reason", "") == ("thick slices" if state == "failed" else "")


def test_where_not_even_the_failure_can_be_noted_the_series_stays_ready(spool, monkeypatch, stored):
    stored(spool)

    def full(job, **facts):
        if "reason" in facts:
            raise OutputError("the disk is full") from OSError(errno.ENOSPC, "no space")
        note(job, **facts)

    note = spool.note
    monkeypatch.setattr(spool, "note", full)
    with pytest.raises(OutputError):
        worker(spool, failing(InputError("a gap")))()
    assert len(spool.jobs("ready")) == 1
    assert spool.jobs("running") == []


def test_a_series_that_is_not_for_this_model_is_skipped_and_nobody_need_look(spool, stored):
    stored(spool)
    work = worker(spool, failing(UnsuitableError("is T2-weighted")))
    work()
    assert spool.jobs("failed") == []
    (job,) = spool.jobs("skipped")
    assert (job.record()["outcome"], job.record()["reason"]) == ("skipped", "is T2-weighted")
    assert [line["outcome"] for line in lines(spool)] == ["skipped"]


def not_json(job):
    (job.folder / "record.json").write_text('{"attempts": ')


def of_another_kind(job):
    (job.folder / "record.json").write_text("[1, 2]")


def a_folder(job):
    (job.folder / "record.json").mkdir()


def of_wrong_values(job):
    (job.folder / "record.json").write_text('{"attempts": "many"}')


def without_source(job):
    shutil.rmtree(job.source)


@pytest.mark.parametrize(
    "harm", [not_json, of_another_kind, a_folder, of_wrong_values, without_source]
)
def test_a_series_whose_files_are_damaged_fails_alone_with_its_reason(spool, harm, stored):
    harmed = stored(spool, "1.2.3")
    harm(harmed)
    good = stored(spool, "1.2.4")
    work = worker(spool, writes)
    for _ in range(4):  # more than the attempts, which may have to be used up
        work()
        for job in spool.jobs("ready"):
            spool.note(job, wait=0.0)
    assert [job.name for job in spool.jobs("outbox")] == [good.name]
    (job,) = spool.jobs("failed")
    assert job.name == harmed.name
    assert job.record()["reason"]
    assert [line["outcome"] for line in lines(spool)] == ["failed"]


def test_an_audit_trail_that_cannot_be_written_fails_no_series(spool, stored):
    stored(spool)
    (spool.root / "audit.jsonl").mkdir()
    with pytest.raises(AuditError):
        worker(spool, failing(InputError("a gap")))()
    assert spool.jobs("failed") == []
    assert len(spool.jobs("ready")) == 1


def test_a_running_series_whose_record_is_damaged_is_set_aside_from_where_it_is(spool, stored):
    stored(spool)

    def damages(source, output, supersedes):
        (source.parent / "record.json").write_text("{")
        return writes(source, output)

    worker(spool, damages)()
    assert spool.jobs("running") == []
    (job,) = spool.jobs("failed")
    assert "not JSON" in job.record()["reason"]
