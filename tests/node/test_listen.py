"""The real listener as a process, real slices, an archive that counts."""

import json
import time
from collections import Counter

import pytest

SUCCESS = 0x0000


def test_a_series_comes_back_synthetic_once_and_nothing_tells_of_the_patient(
    make_listener, make_series, sending, archive
):
    listener = make_listener()
    series = make_series("one")
    assert set(sending(listener.port, series).values()) == {SUCCESS}
    listener.wait_for_rest(done=1)
    got = archive.datasets()
    assert len(got) == len(series)
    assert {one.StudyInstanceUID for one in got} == {series[0].StudyInstanceUID}
    assert {one.SyntheticData for one in got} == {"YES"}

    # The archive forwards all it gets to the node, and the scanner sends all again.
    assert set(sending(listener.port, got).values()) == {SUCCESS}
    assert set(sending(listener.port, series).values()) == {SUCCESS}
    time.sleep(6)
    listener.wait_for_rest(done=1)
    assert set(archive.stored.values()) == {1}
    assert len(listener.states()["done"]) == 1

    (line,) = [
        json.loads(one) for one in (listener.spool / "audit.jsonl").read_text().split("\n")[:-1]
    ]
    assert line["outcome"] == "sent"
    assert (
        len(line["source_sha256"]) == len(line["result_sha256"]) == len(line["model_sha256"]) == 64
    )
    assert line["device"] == "cpu"
    told = listener.log.read_text() + json.dumps(line)
    told += " ".join(str(path) for path in listener.spool.rglob("*"))
    secrets = [str(series[0].PatientName), str(series[0].PatientID), series[0].SeriesDescription]
    secrets += [series[0].StudyInstanceUID, series[0].SeriesInstanceUID]
    secrets += [one.SOPInstanceUID for one in series]
    assert [secret for secret in secrets if len(secret) > 3 and secret in told] == []

    assert listener.stop() == 0


def test_late_slices_have_the_whole_series_translated_again(
    make_listener, make_series, sending, archive
):
    listener = make_listener()
    series = make_series("late")
    # Without the third, there is a gap.
    sending(listener.port, series[:2] + series[3:])
    listener.wait_for_rest(done=1)
    assert [one["outcome"] for one in listener.records("failed")] == ["refused"]
    sending(listener.port, series[2:3])
    listener.wait_for_rest(done=1)
    assert listener.states()["failed"] == []
    assert len(archive.stored) == len(series)
    references = [one.ReferencedSeriesSequence[0] for one in archive.datasets()]
    assert {one.SeriesInstanceUID for one in references} == {series[0].SeriesInstanceUID}


def test_a_series_for_another_model_is_skipped_and_rings_no_alarm(
    make_listener, make_series, sending, archive
):
    listener = make_listener(silence=1.0)
    series = make_series("of a study")
    for one in series:
        one.SeriesDescription = one.ProtocolName = "t2_tse_tra"
    sending(listener.port, series)
    listener.wait_for_rest(done=1)
    (record,) = listener.records("skipped")
    assert (record["outcome"], "is no T1" in record["reason"]) == ("skipped", True), record
    assert listener.states()["failed"] == []
    assert archive.stored == {}


def test_slices_that_come_after_the_result_was_sent_make_one_that_supersedes_it(
    make_listener, make_series, sending, archive
):
    listener = make_listener(silence=2.0)
    series = make_series("later")
    sending(listener.port, series[:5])
    listener.wait_for_rest(done=1)
    (old,) = {one.SeriesInstanceUID for one in archive.datasets()}
    sending(listener.port, series[5:])
    listener.wait_for_rest(done=1)
    images = [one for one in archive.datasets() if one.Modality == "MR"]
    new = [one for one in images if one.SeriesInstanceUID != old]
    assert len(new) == 6
    assert {one.SeriesDescription for one in new} == {
        "SYNTHETIC FLAIR, VERSION 2, NOT FOR DIAGNOSIS"
    }
    assert {one.RelatedSeriesSequence[0].SeriesInstanceUID for one in new} == {old}
    (note,) = [one for one in archive.datasets() if one.Modality == "KO"]
    (rejected,) = note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert rejected.SeriesInstanceUID == old
    assert len(rejected.ReferencedSOPSequence) == 5


def test_a_series_that_is_only_doubted_is_kept_back_until_someone_accepts_it(
    make_listener, make_series, sending, archive
):
    from click.testing import CliRunner

    from hagan_clinic.cli import main

    listener = make_listener(warnings="keep")
    sending(listener.port, make_series("doubted"))
    listener.wait_for_rest(done=1)
    (record,) = listener.records("failed")
    assert record["outcome"] == "warned"
    assert "field of view" in record["reason"]
    assert archive.stored == {}

    (name,) = listener.states()["failed"]
    where = ["--spool", str(listener.spool)]
    shown = CliRunner().invoke(main, ["spool", "show", "--json", *where])
    assert [(one["series"], one["outcome"]) for one in json.loads(shown.stdout)] == [
        (name, "warned")
    ]
    done = CliRunner().invoke(main, ["spool", "retry", name, "--accept-warnings", *where])
    assert done.exit_code == 0, done.output
    listener.wait_for_rest(done=1)
    assert len(archive.stored) == 6
    assert CliRunner().invoke(main, ["spool", "purge", name[:6], *where]).exit_code == 0
    assert listener.states()["done"] == []


def test_a_watched_folder_feeds_the_same_spool(
    make_listener, make_series, archive, tmp_path, waiting
):
    folder = tmp_path / "drop"
    (folder / "deeper").mkdir(parents=True)
    listener = make_listener(watch=str(folder), silence=6.0)
    series = make_series("dropped")
    (folder / "notes.txt").write_text("not DICOM")
    for number, one in enumerate(series):
        one.save_as(folder / ("deeper" if number % 2 else "") / f"{number}.dcm")
    waiting(lambda: [path.name for path in folder.rglob("*.*")] == ["notes.txt"])
    listener.wait_for_rest(done=1)
    assert Counter(archive.stored.values()) == {1: 6}


def test_a_model_that_is_not_the_pinned_one_is_refused(make_listener, tmp_path):
    listener = make_listener(start=False, model_sha256="0" * 64)
    with pytest.raises(AssertionError, match="model_sha256"):
        listener.start()
    assert listener.process.returncode == 4
    (line,) = listener.events("not started")
    assert line["exit_code"] == 4 and "model_sha256" in line["error"]


def test_a_node_that_anyone_could_send_to_is_not_started(make_listener):
    listener = make_listener(start=False, host="0.0.0.0")
    with pytest.raises(AssertionError, match="whoever reaches"):
        listener.start()
    assert listener.process.returncode == 3


def test_health_and_metrics_are_served_on_loopback(
    make_listener, make_series, sending, archive, waiting
):
    import httpx

    listener = make_listener(start=False)
    from hagan_clinic.node.config import NodeConfig

    assert NodeConfig().http_port
    listener.settings["http_port"] = listener.port + 1
    listener.start()
    base = f"http://127.0.0.1:{listener.port + 1}"
    assert httpx.get(f"{base}/health").json()["ok"] is True
    sending(listener.port, make_series("counted"))
    listener.wait_for_rest(done=1)
    page = httpx.get(f"{base}/metrics").text
    assert 'hagan_instances_received_total{outcome="stored"} 6.0' in page
    assert 'hagan_series_total{outcome="sent"} 1.0' in page
    assert "hagan_instances_sent_total 6.0" in page
    assert 'hagan_spool_series{state="done"} 1.0' in page
