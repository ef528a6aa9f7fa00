import shutil

import pytest
from pydicom import Dataset

from hagan_clinic.node.delivery import CutOffError, RefusedError, UnreachableError
from hagan_clinic.node.destination import DimseDestination
from hagan_clinic.node.dimse import DimseSender, reference_of


def test_a_record_that_cannot_be_read_keeps_no_report_from_the_others(
    forwarder, committing, spool, make_series, outbox
):
    damaged = outbox(spool, make_series("damaged"))
    outbox(spool, make_series("reported"))
    sender = committing()
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


def test_a_series_is_done_when_the_archive_has_committed_itself(
    forwarder, committing, spool, make_series, outbox
):
    series = make_series("h")
    outbox(spool, series)
    sender = committing()
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
    forwarder, committing, waiting, spool, make_series, outbox
):
    job = outbox(spool, make_series("i"))
    lost = reference_of(job.result / "0002.dcm").sop_instance
    sender = committing()
    forward = forwarder(spool, 0, sender, commitment=True)
    forward()
    forward.report(2, answer(sender.asked[0][0], [lost]))
    waiting(lambda: len(sender.asked) == 2, forward)
    assert sender.stored[6:] == ["0002.dcm"]


@pytest.mark.parametrize("error", [UnreachableError, CutOffError])
def test_a_request_for_commitment_that_was_cut_off_is_made_again(
    forwarder, committing, waiting, spool, make_series, error, outbox
):
    job = outbox(spool, make_series("asked"))
    sender = committing()
    ask = sender.ask

    def cut_off(transaction, references):
        raise error("cut off")

    sender.ask = cut_off
    forward = forwarder(spool, 0, sender, commitment=True)
    forward()
    forward.report(1, answer("1.2.3"))
    sender.ask = ask
    waiting(lambda: sender.asked, forward)
    forward.report(1, answer(sender.asked[0][0]))
    waiting(lambda: spool.jobs("done"), forward)
    assert sender.stored == sorted(set(sender.stored)), job


@pytest.mark.parametrize("error", [UnreachableError, CutOffError])
def test_a_request_for_commitment_that_always_fails_holds_up_nothing(
    forwarder, committing, waiting, spool, make_series, error, outbox
):
    for name in ("never", "neither"):
        outbox(spool, make_series(name))
    sender = committing()

    def fail(transaction, references):
        raise error("rejected")

    sender.ask = fail
    forward = forwarder(spool, 0, sender, commitment=True, commitment_wait=0.5)
    forward()
    assert len(sender.stored) == 12
    waiting(lambda: len(spool.jobs("done")) == 2, forward)
    assert {job.record()["commitment"] for job in spool.jobs("done")} == {"not answered"}
    assert len(sender.stored) == 12


@pytest.mark.parametrize(
    ("offers", "settings", "told"),
    [(False, {}, "not offered"), (True, {"commitment_wait": 0.0}, "not answered")],
)
def test_without_an_answer_the_series_is_done_and_says_so(
    forwarder, committing, waiting, spool, make_series, offers, settings, told, outbox
):
    outbox(spool, make_series("j"))
    forward = forwarder(spool, 0, committing(offers), commitment=True, **settings)
    waiting(lambda: spool.jobs("done"), forward)
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
