import json
import shutil
import socket
import threading
import time
from itertools import pairwise

import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main
from hagan_clinic.node.delivery import UnreachableError
from hagan_clinic.node.destination import DimseDestination
from hagan_clinic.node.dimse import DimseSender


def test_what_is_sent_is_done_and_only_its_source_is_kept(
    forwarder, spool, archive, make_series, outbox
):
    outbox(spool, make_series("a"))
    forwarder(spool, archive.port)()
    (job,) = spool.jobs("done")
    assert job.record()["outcome"] == "sent"
    assert not job.result.exists()
    assert set(archive.stored.values()) == {1}


def test_after_an_interruption_only_the_rest_is_sent(
    forwarder, spool, archive, make_series, outbox
):
    job = outbox(spool, make_series("b"))
    job.sent.write_text("0000.dcm\n0001.dcm\n0002.d")  # the third line was cut off
    forwarder(spool, archive.port)()
    assert len(archive.stored) == 4


def test_an_archive_without_room_gets_each_instance_once_in_the_end(
    forwarder, waiting, spool, archive, make_series, outbox
):
    outbox(spool, make_series("c"))
    archive.statuses = [0xA700, 0xA701]
    waiting(lambda: spool.jobs("done"), forwarder(spool, archive.port))
    assert set(archive.stored.values()) == {1}
    assert len(archive.stored) == 6


def test_an_archive_that_refuses_is_asked_a_few_times_and_then_it_is_kept(
    forwarder, waiting, spool, archive, make_series, outbox
):
    outbox(spool, make_series("d"))
    archive.statuses = [0xC000] * 50
    waiting(lambda: spool.jobs("failed"), forwarder(spool, archive.port, refusals=2))
    (job,) = spool.jobs("failed")
    assert job.record()["outcome"] == "rejected"
    assert "0xC000" in job.record()["reason"]
    assert len(archive.statuses) == 47


def test_a_refused_series_does_not_hold_up_the_next(forwarder, spool, archive, make_series, outbox):
    outbox(spool, make_series("e"))
    outbox(spool, make_series("f"))
    archive.statuses = [0xC000]
    forwarder(spool, archive.port)()
    assert len(spool.jobs("done")) == 1
    assert len(archive.stored) == 6


def test_a_series_that_the_archive_has_no_room_for_does_not_hold_up_the_next(
    forwarder, spool, archive, make_series, outbox
):
    outbox(spool, make_series("full"))
    outbox(spool, make_series("next"))
    archive.statuses = [0xA700]
    forward = forwarder(spool, archive.port, retry_first=60.0, retry_longest=60.0)
    forward()
    (waits,) = spool.jobs("outbox")
    shown = CliRunner().invoke(main, ["spool", "show", "--json", "--spool", str(spool.root)])
    reasons = {one["series"]: one["reason"] for one in json.loads(shown.output)}
    assert reasons.pop(waits.name) == "the archive is out of resources"
    assert list(reasons.values()) == [""]
    assert len(spool.jobs("done")) == 1


def test_waits_begin_with_the_first_and_double(forwarder, spool, archive, make_series, outbox):
    job = outbox(spool, make_series("waits"))
    archive.statuses = [0xC000, 0xC000, 0xA700, 0xA700]
    forward = forwarder(spool, archive.port, retry_first=7.0, retry_longest=300.0)
    waits = []
    for _ in range(4):
        forward()
        since, end = job.record()["wait"]
        waits.append(round(end - since))
        spool.note(job, wait=0.0)
    assert waits == [7, 14, 7, 14]


def test_a_peer_that_stops_in_mid_message_is_given_up(make_series, tmp_path):
    path = tmp_path / "one.dcm"
    make_series("stalled")[0].save_as(path, enforce_file_format=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def stall():
            connection, _ = server.accept()
            connection.recv(4096)
            connection.sendall(b"\x02\x00\x00")
            held.append(connection)

        threading.Thread(target=stall, daemon=True).start()
        to = DimseDestination("ARCHIVE", "127.0.0.1", server.getsockname()[1])
        sender, told = DimseSender("HAGAN", to, 0.5, None), []

        def send():
            try:
                sender.store([path], print)
            except UnreachableError as error:
                told.append(error)

        sending = threading.Thread(target=send, daemon=True)
        sending.start()
        sending.join(20)
        assert told
        held[0].close()


def test_backing_off_doubles_and_ends_at_the_longest(
    forwarder, committing, spool, make_series, monkeypatch, outbox
):
    # One that was sent and waits for its commitment says nothing of the archive's return.
    waiting = outbox(spool, make_series("committing"))
    waiting.sent.write_text("".join(f"{path.name}\n" for path in waiting.result.iterdir()))
    spool.note(waiting, commitment_asked="1.2.3", commitment_since=time.time())
    outbox(spool, make_series("g"))
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    tries = []

    class Down(committing):
        def store(self, paths, taken):
            tries.append(now[0])
            raise UnreachableError("down")

    forward = forwarder(spool, 0, Down(), commitment=True, retry_first=1.0, retry_longest=5.0)
    for _ in range(400):
        forward()
        now[0] += 0.1
    gaps = [round(later - sooner) for sooner, later in pairwise(tries)]
    assert gaps[:5] == [1, 2, 4, 5, 5]


def test_a_series_at_which_the_archive_ends_the_association_does_not_hold_up_the_next(
    forwarder, spool, archive, make_series, outbox
):
    poison, good = make_series("poison"), make_series("good")
    outbox(spool, poison)
    outbox(spool, good)
    archive.poison = poison[2].SOPInstanceUID
    forward = forwarder(spool, archive.port, retry_first=60.0, retry_longest=60.0)
    forward()
    (waits,) = spool.jobs("outbox")
    assert waits.record()["cut_off"] == 1
    assert {one.SOPInstanceUID for one in good} < set(archive.stored)
    forward()
    assert len(archive.cut) == 1

    archive.poison = None
    spool.note(waits, wait=0.0)
    forward()
    assert len(spool.jobs("done")) == 2
    assert set(archive.stored.values()) == {1}


def cut(job):
    path = job.result / "0003.dcm"
    path.write_bytes(path.read_bytes()[:-100])


def removed(job):
    shutil.rmtree(job.result)


def emptied(job):
    for path in job.result.iterdir():
        path.unlink()


def with_a_folder(job):
    (job.result / "folder.dcm").mkdir()


def without_record(job):
    (job.folder / "record.json").unlink()


def without_source(job):
    shutil.rmtree(job.source)
    cut(job)


@pytest.mark.parametrize(
    "harm", [cut, removed, emptied, with_a_folder, without_record, without_source]
)
def test_a_result_that_is_not_what_was_translated_is_not_sent_and_holds_up_nothing(
    forwarder, spool, archive, make_series, harm, outbox
):
    harmed = outbox(spool, make_series("harmed"))
    harm(harmed)
    outbox(spool, make_series("whole"))
    forwarder(spool, archive.port)()
    assert len(archive.stored) == 6
    assert len(spool.jobs("done")) == 1
    (job,) = spool.jobs("failed")
    assert (job.name, job.record()["outcome"]) == (harmed.name, "failed")
    assert job.record()["reason"]


def test_what_nobody_foresaw_of_a_delivery_is_tried_again_and_given_up_at_last(
    forwarder, committing, waiting, spool, make_series, caplog, outbox
):
    strange, good = outbox(spool, make_series("strange")), outbox(spool, make_series("good one"))

    class Odd(committing):
        def store(self, paths, taken):
            if paths[0].parent == strange.result:
                raise ValueError("of Jane Doe")
            super().store(paths, taken)

    forward = forwarder(spool, 0, Odd(), refusals=2)
    forward()
    assert [job.name for job in spool.jobs("outbox")] == [strange.name]
    assert [job.name for job in spool.jobs("done")] == [good.name]
    waiting(lambda: spool.jobs("failed"), forward)
    (job,) = spool.jobs("failed")
    assert (job.record()["outcome"], job.record()["reason"]) == (
        "rejected",
        "ValueError: of Jane Doe",
    )
    assert "Jane" not in caplog.text
