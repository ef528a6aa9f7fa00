import json
import shutil
import socket
import threading
import time
from itertools import pairwise

import pytest
from click.testing import CliRunner
from pydicom import Dataset

from hagan_clinic.cli import main
from hagan_clinic.node.arrivals import complete
from hagan_clinic.node.audit import folder_sha256
from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.delivery import CutOffError, RefusedError, UnreachableError
from hagan_clinic.node.destination import DimseDestination
from hagan_clinic.node.dimse import DimseSender, reference_of
from hagan_clinic.node.forwarder import Forwarder
from hagan_clinic.node.metrics import Metrics
from hagan_clinic.node.standing import partly_sent
from hagan_clinic.node.superseded import superseded


@pytest.fixture
def outbox(store):
    """A function that gives a series as a result that waits to be sent."""

    def waits(spool, series):
        for one in series:
            name, _ = store(spool, series[0].SeriesInstanceUID, one.SOPInstanceUID, b"source")
        job = spool.take(complete(spool, name))
        job.result.mkdir()
        for number, one in enumerate(series):
            one.save_as(job.result / f"{number:04}.dcm", enforce_file_format=True)
        return spool.move(job, "outbox", result_sha256=folder_sha256(job.result))

    return waits


def forwarder(spool, port, sender=None, **settings):
    settings = {"retry_first": 0.01, "retry_longest": 0.01, "commitment": False, **settings}
    config = NodeConfig(**settings)
    sender = sender or DimseSender(
        "HAGAN", DimseDestination("ARCHIVE", "127.0.0.1", port), 60, None
    )
    return Forwarder(spool, sender, config, Metrics(spool))


def until(condition, forward, seconds=240):
    end = time.monotonic() + seconds
    while not condition():
        forward()
        time.sleep(0.02)
        assert time.monotonic() < end


class Committing(DimseSender):
    """Stores nothing, and offers commitment."""

    def __init__(self, offers=True):
        self.offers, self.stored, self.asked = offers, [], []

    def store(self, paths, taken):
        for path in paths:
            self.stored.append(path.name)
            taken(path)

    def ask(self, transaction, references):
        self.asked.append((transaction, references))
        return self.offers


def test_what_is_sent_is_done_and_only_its_source_is_kept(spool, archive, make_series, outbox):
    outbox(spool, make_series("a"))
    forwarder(spool, archive.port)()
    (job,) = spool.jobs("done")
    assert job.record()["outcome"] == "sent"
    assert not job.result.exists()
    assert set(archive.stored.values()) == {1}


def test_after_an_interruption_only_the_rest_is_sent(spool, archive, make_series, outbox):
    job = outbox(spool, make_series("b"))
    job.sent.write_text("0000.dcm\n0001.dcm\n0002.d")  # the third line was cut off
    forwarder(spool, archive.port)()
    assert len(archive.stored) == 4


def test_an_archive_without_room_gets_each_instance_once_in_the_end(
    spool, archive, make_series, outbox
):
    outbox(spool, make_series("c"))
    archive.statuses = [0xA700, 0xA701]
    until(lambda: spool.jobs("done"), forwarder(spool, archive.port))
    assert set(archive.stored.values()) == {1}
    assert len(archive.stored) == 6


def test_an_archive_that_refuses_is_asked_a_few_times_and_then_it_is_kept(
    spool, archive, make_series, outbox
):
    outbox(spool, make_series("d"))
    archive.statuses = [0xC000] * 50
    until(lambda: spool.jobs("failed"), forwarder(spool, archive.port, refusals=2))
    (job,) = spool.jobs("failed")
    assert job.record()["outcome"] == "rejected"
    assert "0xC000" in job.record()["reason"]
    assert len(archive.statuses) == 47


def notes(archive):
    """The rejection notes that the archive has: the series they reject, and how many instances."""
    found = {}
    for one in archive.datasets():
        if one.Modality == "KO":
            (series,) = one.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
            found[series.SeriesInstanceUID] = len(series.ReferencedSOPSequence)
    return found


def test_after_the_new_result_the_earlier_one_is_rejected_once(spool, archive, make_series, outbox):
    old, new = make_series("old"), make_series("new")
    job = outbox(spool, new)
    earlier = [{"series": old[0].SeriesInstanceUID, "numbers": [1, 2, 3]}]
    (job.folder / "superseded.json").write_text(json.dumps(earlier))
    forward = forwarder(spool, archive.port)
    forward()
    assert len(spool.jobs("done")) == 1
    assert notes(archive) == {old[0].SeriesInstanceUID: 3}
    assert archive.order[-1] not in {one.SOPInstanceUID for one in new}
    assert len(archive.stored) == 7


def test_an_archive_that_takes_no_notes_gets_the_result_all_the_same(
    spool, archive, make_series, outbox
):
    job = outbox(spool, make_series("plain archive"))
    (job.folder / "superseded.json").write_text('[{"series": "1.2", "numbers": [1]}]')
    archive.takes_notes = False
    archive.down(), archive.up()
    forward = forwarder(spool, archive.port)
    forward()
    assert len(spool.jobs("done")) == 1
    assert len(archive.stored) == 6
    assert forward._metrics.rejection_notes.labels("refused")._value.get() == 1


def test_an_archive_that_gives_up_at_every_note_gets_the_result_all_the_same(
    spool, make_series, outbox
):
    class CutAtNotes:
        notes = 0

        def store(self, paths, taken):
            if paths[0].name == "rejection.dcm":
                self.notes += 1
                raise CutOffError("closed")
            for path in paths:
                taken(path)

    old, new = make_series("old"), make_series("new")
    job = outbox(spool, new)
    earlier = [{"series": old[0].SeriesInstanceUID, "numbers": [1, 2, 3]}]
    (job.folder / "superseded.json").write_text(json.dumps(earlier))
    sender = CutAtNotes()
    until(lambda: spool.jobs("done"), forwarder(spool, 0, sender, refusals=3))
    assert sender.notes == 4


def test_what_an_archive_took_in_part_is_told_and_rejected_in_the_end(
    spool, archive, make_series, outbox
):
    series = make_series("part")
    outbox(spool, series)
    archive.refused = {series[3].SOPInstanceUID}
    forward = forwarder(spool, archive.port, refusals=2)
    forward()
    (job,) = spool.jobs("outbox")
    assert job.record()["last"] == "the archive answered status 0xC000; it has 3 of 6 instances"
    assert partly_sent(spool) == 1
    until(lambda: spool.jobs("failed"), forward)
    (job,) = spool.jobs("failed")
    assert "3 of 6" in job.record()["reason"]
    assert partly_sent(spool) == 1
    assert notes(archive) == {series[0].SeriesInstanceUID: 3}
    again = spool.retry(job.name)  # another series: what was rejected stays rejected
    assert [one.series for one in superseded(again)] == [series[0].SeriesInstanceUID]


def test_what_an_archive_takes_in_the_end_is_no_part(spool, archive, make_series, outbox):
    series = make_series("mended")
    outbox(spool, series)
    archive.statuses = [0, 0, 0xC000]
    until(lambda: spool.jobs("done"), forwarder(spool, archive.port))
    assert partly_sent(spool) == 0
    assert notes(archive) == {}


def test_a_refused_series_does_not_hold_up_the_next(spool, archive, make_series, outbox):
    outbox(spool, make_series("e"))
    outbox(spool, make_series("f"))
    archive.statuses = [0xC000]
    forwarder(spool, archive.port)()
    assert len(spool.jobs("done")) == 1
    assert len(archive.stored) == 6


def test_a_series_that_the_archive_has_no_room_for_does_not_hold_up_the_next(
    spool, archive, make_series, outbox
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


def test_waits_begin_with_the_first_and_double(spool, archive, make_series, outbox):
    job = outbox(spool, make_series("waits"))
    archive.statuses = [0xC000, 0xC000, 0xA700, 0xA700]
    forward = forwarder(spool, archive.port, retry_first=7.0, retry_longest=300.0)
    waits = []
    for _ in range(4):
        forward()
        since, until = job.record()["wait"]
        waits.append(round(until - since))
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


def test_backing_off_doubles_and_ends_at_the_longest(spool, make_series, monkeypatch, outbox):
    # One that was sent and waits for its commitment says nothing of the archive's return.
    waiting = outbox(spool, make_series("committing"))
    waiting.sent.write_text("".join(f"{path.name}\n" for path in waiting.result.iterdir()))
    spool.note(waiting, commitment_asked="1.2.3", commitment_since=time.time())
    outbox(spool, make_series("g"))
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    tries = []

    class Down(Committing):
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
    spool, archive, make_series, outbox
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
    spool, archive, make_series, harm, outbox
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
    spool, make_series, caplog, outbox
):
    strange, good = outbox(spool, make_series("strange")), outbox(spool, make_series("good one"))

    class Odd(Committing):
        def store(self, paths, taken):
            if paths[0].parent == strange.result:
                raise ValueError("of Jane Doe")
            super().store(paths, taken)

    forward = forwarder(spool, 0, Odd(), refusals=2)
    forward()
    assert [job.name for job in spool.jobs("outbox")] == [strange.name]
    assert [job.name for job in spool.jobs("done")] == [good.name]
    until(lambda: spool.jobs("failed"), forward)
    (job,) = spool.jobs("failed")
    assert (job.record()["outcome"], job.record()["reason"]) == (
        "rejected",
        "ValueError: of Jane Doe",
    )
    assert "Jane" not in caplog.text


def test_a_record_that_cannot_be_read_keeps_no_report_from_the_others(spool, make_series, outbox):
    damaged = outbox(spool, make_series("damaged"))
    outbox(spool, make_series("reported"))
    sender = Committing()
    forward = forwarder(spool, 0, sender, commitment=True)
    forward()
    (damaged.folder / "record.json").write_text("{")
    forward.report(1, answer(sender.asked[1][0]))
    forward()
    assert len(spool.jobs("done")) == 1
    (job,) = spool.jobs("failed")
    assert "is not JSON" in job.record()["reason"]


def answer(transaction, failed=()):
    information = Dataset()
    information.TransactionUID = transaction
    information.FailedSOPSequence = []
    for uid in failed:
        item = Dataset()
        item.ReferencedSOPInstanceUID = uid
        information.FailedSOPSequence.append(item)
    return information


def test_a_series_is_done_when_the_archive_has_committed_itself(spool, make_series, outbox):
    series = make_series("h")
    outbox(spool, series)
    sender = Committing()
    forward = forwarder(spool, 0, sender, commitment=True)
    forward()
    forward()
    ((transaction, references),) = sender.asked
    assert [one.sop_instance for one in references] == [one.SOPInstanceUID for one in series]
    assert len(spool.jobs("outbox")) == 1
    forward.report(1, answer("1.2.3"))
    forward()
    assert len(spool.jobs("outbox")) == 1
    forward.report(1, answer(transaction))
    forward()
    (job,) = spool.jobs("done")
    assert job.record()["commitment"] == "committed"


def test_what_the_archive_has_not_kept_is_sent_again_and_asked_for_again(
    spool, make_series, outbox
):
    job = outbox(spool, make_series("i"))
    lost = reference_of(job.result / "0002.dcm").sop_instance
    sender = Committing()
    forward = forwarder(spool, 0, sender, commitment=True)
    forward()
    forward.report(2, answer(sender.asked[0][0], [lost]))
    until(lambda: len(sender.asked) == 2, forward)
    assert sender.stored[6:] == ["0002.dcm"]


@pytest.mark.parametrize("error", [UnreachableError, CutOffError])
def test_a_request_for_commitment_that_was_cut_off_is_made_again(spool, make_series, error, outbox):
    job = outbox(spool, make_series("asked"))
    sender = Committing()
    ask = sender.ask

    def cut_off(transaction, references):
        raise error("cut off")

    sender.ask = cut_off
    forward = forwarder(spool, 0, sender, commitment=True)
    forward()
    forward.report(1, answer("1.2.3"))
    sender.ask = ask
    until(lambda: sender.asked, forward)
    forward.report(1, answer(sender.asked[0][0]))
    until(lambda: spool.jobs("done"), forward)
    assert sender.stored == sorted(set(sender.stored)), job


@pytest.mark.parametrize("error", [UnreachableError, CutOffError])
def test_a_request_for_commitment_that_always_fails_holds_up_nothing(
    spool, make_series, error, outbox
):
    for name in ("never", "neither"):
        outbox(spool, make_series(name))
    sender = Committing()

    def fail(transaction, references):
        raise error("rejected")

    sender.ask = fail
    forward = forwarder(spool, 0, sender, commitment=True, commitment_wait=0.5)
    forward()
    assert len(sender.stored) == 12
    until(lambda: len(spool.jobs("done")) == 2, forward)
    assert {job.record()["commitment"] for job in spool.jobs("done")} == {"not answered"}
    assert len(sender.stored) == 12


@pytest.mark.parametrize(
    ("offers", "settings", "told"),
    [(False, {}, "not offered"), (True, {"commitment_wait": 0.0}, "not answered")],
)
def test_without_an_answer_the_series_is_done_and_says_so(
    spool, make_series, offers, settings, told, outbox
):
    outbox(spool, make_series("j"))
    forward = forwarder(spool, 0, Committing(offers), commitment=True, **settings)
    until(lambda: spool.jobs("done"), forward)
    assert spool.jobs("done")[0].record()["commitment"] == told


def test_an_archive_that_takes_no_such_objects_refuses(archive, make_series, tmp_path):
    from pynetdicom import AE, evt
    from pynetdicom.sop_class import Verification

    archive.down()
    ae = AE("ARCHIVE")
    ae.add_supported_context(Verification)
    server = ae.start_server(
        ("127.0.0.1", archive.port), block=False, evt_handlers=[(evt.EVT_C_ECHO, lambda e: 0)]
    )
    path = tmp_path / "one.dcm"
    make_series("k")[0].save_as(path, enforce_file_format=True)
    sender = DimseSender("HAGAN", DimseDestination("ARCHIVE", "127.0.0.1", archive.port), 60, None)
    try:
        with pytest.raises(RefusedError, match="does not take"):
            sender.store([path], print)
        assert sender.ask("1.2.3", [reference_of(path)]) is False
    finally:
        server.shutdown()
    with pytest.raises(UnreachableError):
        sender.store([path], print)
    shutil.rmtree(tmp_path)
