import json

from hagan_clinic.node.delivery import CutOffError
from hagan_clinic.node.standing import partly_sent
from hagan_clinic.node.superseded import superseded


def notes(archive):
    """The rejection notes that the archive has: the series they reject, and how many instances."""
    found = {}
    for one in archive.datasets():
        if one.Modality == "KO":
            (series,) = one.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
            found[series.SeriesInstanceUID] = len(series.ReferencedSOPSequence)
    return found


def test_after_the_new_result_the_earlier_one_is_rejected_once(
    forwarder, spool, archive, make_series, outbox
):
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
    forwarder, spool, archive, make_series, outbox
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
    forwarder, waiting, spool, make_series, outbox
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
    waiting(lambda: spool.jobs("done"), forwarder(spool, 0, sender, refusals=3))
    assert sender.notes == 4


def test_what_an_archive_took_in_part_is_told_and_rejected_in_the_end(
    forwarder, waiting, spool, archive, make_series, outbox
):
    series = make_series("part")
    outbox(spool, series)
    archive.refused = {series[3].SOPInstanceUID}
    forward = forwarder(spool, archive.port, refusals=2)
    forward()
    (job,) = spool.jobs("outbox")
    assert job.record()["last"] == "the archive answered status 0xC000; it has 3 of 6 instances"
    assert partly_sent(spool) == 1
    waiting(lambda: spool.jobs("failed"), forward)
    (job,) = spool.jobs("failed")
    assert "3 of 6" in job.record()["reason"]
    assert partly_sent(spool) == 1
    assert notes(archive) == {series[0].SeriesInstanceUID: 3}
    again = spool.retry(job.name)  # another series: what was rejected stays rejected
    assert [one.series for one in superseded(again)] == [series[0].SeriesInstanceUID]


def test_what_an_archive_takes_in_the_end_is_no_part(
    forwarder, waiting, spool, archive, make_series, outbox
):
    series = make_series("mended")
    outbox(spool, series)
    archive.statuses = [0, 0, 0xC000]
    waiting(lambda: spool.jobs("done"), forwarder(spool, archive.port))
    assert partly_sent(spool) == 0
    assert notes(archive) == {}
