"""The real listener killed, poisoned, without its archive or room: nothing lost or doubled."""

import copy
import random
import shutil
import threading
import time
from collections import Counter, defaultdict
from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from hagan_clinic.node.arrivals import complete
from hagan_clinic.node.audit import folder_sha256
from hagan_clinic.node.spool import STATES, Spool

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700


def source_series(derived):
    """Series Instance UID of the scan that a derived instance tells of."""
    references = derived.get("ReferencedSeriesSequence")
    return str(references[0].SeriesInstanceUID) if references else ""


def derived_by_source(archive):
    found = defaultdict(list)
    for one in archive.datasets():
        found[source_series(one)].append(one)
    assert "" not in found, "a rejection note: something was superseded or sent in part"
    return found


def send_until_acknowledged(sending, listener, series, acknowledged):
    """Send what is not acknowledged yet, again and again, as a scanner's queue does."""
    end = time.monotonic() + 300
    while rest := [one for one in series if one.SOPInstanceUID not in acknowledged]:
        answers = sending(listener.port, rest)
        acknowledged |= {uid for uid, status in answers.items() if status == SUCCESS}
        time.sleep(0.1)
        assert time.monotonic() < end


def killed_at_random_moments(make_listener, make_series, sending, archive, sends, kills):
    rng = random.Random(20)
    # Longer than a restart takes, so that no part of a series is taken for all of it.
    listener = make_listener(silence=15.0)
    acknowledged = set()
    everything = [make_series(f"kill {number}") for number in range(sends)]

    def sender():
        for series in everything:
            send_until_acknowledged(sending, listener, series, acknowledged)

    thread = threading.Thread(target=sender)
    thread.start()
    for _ in range(kills):
        time.sleep(rng.uniform(0.0, 6.0))
        listener.kill()
        listener.start()
    thread.join()
    listener.wait_for_rest(done=sends, seconds=1200)
    return listener, everything, acknowledged


def assert_nothing_lost_or_doubled(archive, everything, acknowledged, kills):
    assert acknowledged == {one.SOPInstanceUID for series in everything for one in series}
    found = derived_by_source(archive)
    for series in everything:
        derived = found[series[0].SeriesInstanceUID]
        assert len(derived) == len(series)
        # One result, and never a part of one beside it, not even one that was rejected since.
        assert len({one.SeriesInstanceUID for one in derived}) == 1
    # Only what was under way at a kill may come again, and it is the same byte for byte.
    assert sum(archive.stored.values()) - len(archive.stored) <= kills


def test_killed_at_random_moments_it_loses_nothing_and_sends_nothing_twice(
    make_listener, make_series, sending, archive
):
    listener, everything, acknowledged = killed_at_random_moments(
        make_listener, make_series, sending, archive, sends=3, kills=3
    )
    assert listener.states()["failed"] == [], listener.records("failed")
    assert_nothing_lost_or_doubled(archive, everything, acknowledged, kills=3)


@pytest.mark.slow
def test_killed_at_65_random_moments_of_80_sends(make_listener, make_series, sending, archive):
    listener, everything, acknowledged = killed_at_random_moments(
        make_listener, make_series, sending, archive, sends=80, kills=65
    )
    assert listener.states()["failed"] == [], listener.records("failed")
    assert_nothing_lost_or_doubled(archive, everything, acknowledged, kills=65)


@pytest.mark.slow
def test_a_series_of_1000_instances_comes_back_whole(make_listener, test_data, sending, archive):
    paths = sorted((test_data / "dicom/sag_mprage").glob("*.dcm"))
    scan = sorted(map(pydicom.dcmread, paths), key=lambda one: one.InstanceNumber)
    first, last = (np.array(scan[end].ImagePositionPatient, float) for end in (0, -1))
    series = []
    for number, along in enumerate(np.linspace(0, 1, 1000)):  # five times as many slices
        one = copy.deepcopy(scan[round(along * (len(scan) - 1))])
        one.remove_private_tags()
        one.PixelData = one.pixel_array[64:192, 64:192].tobytes()
        one.Rows = one.Columns = 128
        one.ImagePositionPatient = [f"{value:.6f}" for value in first + along * (last - first)]
        one.SliceThickness = f"{np.linalg.norm(last - first) / 999:.6f}"
        one.InstanceNumber = number + 1
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        series.append(one)
    listener = make_listener()
    answers = sending(listener.port, series)
    assert Counter(answers.values()) == {SUCCESS: 1000}
    listener.wait_for_rest(done=1)
    assert listener.states()["failed"] == [], listener.records("failed")
    assert Counter(archive.stored.values()) == {1: 1000}
    referenced = {one.SourceImageSequence[0].ReferencedSOPInstanceUID for one in archive.datasets()}
    assert referenced == set(answers)


def test_killed_while_it_translates_it_translates_again(
    make_listener, make_series, sending, archive, waiting
):
    listener = make_listener()
    sending(listener.port, make_series("killed"))
    waiting(lambda: listener.events("translating"))
    listener.kill()
    listener.start()
    listener.wait_for_rest(done=1)
    assert set(archive.stored.values()) == {1}
    assert len(archive.stored) == 6


def test_while_the_archive_is_down_results_wait_and_then_go_in_order(
    make_listener, make_series, sending, archive, waiting
):
    archive.down()
    listener = make_listener()
    for name in ("first", "second"):
        sending(listener.port, make_series(name))
    waiting(lambda: len(listener.states()["outbox"]) == 2)
    waiting(lambda: len(listener.events("not sent")) >= 3)
    assert listener.states()["done"] == []
    archive.up()
    listener.wait_for_rest(done=2)
    assert set(archive.stored.values()) == {1}
    assert len(archive.stored) == 12


def poison(spool, make_series, encoded, store):
    """Series and files of many kinds that a part of the node cannot work at."""

    def ready(name, content=encoded):
        for one in make_series(name):
            series, _ = store(spool, one.SeriesInstanceUID, one.SOPInstanceUID, content(one))
        return complete(spool, series)

    def translated(name):
        job = spool.take(ready(name))
        job.result.mkdir()
        for number, one in enumerate(make_series(name)):
            one.save_as(job.result / f"{number}.dcm")
        return spool.move(job, "outbox", result_sha256=folder_sha256(job.result))

    cut = translated("cut result").result / "3.dcm"
    cut.write_bytes(cut.read_bytes()[:-1000])
    (translated("odd list of what was sent").folder / "sent").mkdir()
    (ready("torn record").folder / "record.json").write_text('{"attempts": 1, "la')
    (ready("no record but a folder").folder / "record.json").mkdir()
    ready("no DICOM", content=lambda one: b"x" * 5000)
    shutil.rmtree(ready("nothing received").source)
    (ready("odd record").folder / "record.json").write_text('{"wait": 5}')
    twice = spool.take(ready("in two states"))
    shutil.copytree(twice.folder, spool.root / "ready" / twice.name)
    for state in STATES:
        (spool.root / state / "stray.tmp").write_bytes(b"x")
        (spool.root / state / "stray").mkdir()
        (spool.root / state / ("0" * 24)).symlink_to("/nowhere")
    return 8


def test_poison_of_many_kinds_stops_none_of_20_series(
    make_listener, make_series, sending, archive, encoded, waiting, store
):
    listener = make_listener(start=False, attempts=2)
    poisoned = poison(Spool(listener.spool), make_series, encoded, store)
    listener.start()
    everything = [make_series(f"good {number}") for number in range(20)]
    for series in everything:
        assert set(sending(listener.port, series).values()) == {SUCCESS}
    everything.append(make_series("in two states"))  # one of the two is as good as any
    waiting(lambda: len(listener.states()["done"]) == 21, listener.failure)
    waiting(lambda: len(listener.states()["failed"]) == poisoned, listener.failure)
    found = derived_by_source(archive)
    assert {uid: len(one) for uid, one in found.items()} == {
        series[0].SeriesInstanceUID: len(series) for series in everything
    }
    assert all(record["reason"] for record in listener.records("failed"))
    told = {one["series"] for one in listener.events("audit") if one["outcome"] == "failed"}
    assert len(told) > 1
    assert listener.events("fault") == []


def test_on_a_full_disk_no_instance_is_acknowledged_that_is_not_kept(
    make_listener, make_series, sending, small_disk
):
    listener = make_listener(start=False, silence=600.0, min_free="8KiB")
    listener.spool = small_disk / "spool"
    listener.settings["spool"] = str(listener.spool)
    listener.start()
    answers = {}
    for number in range(3):
        answers |= sending(listener.port, make_series(f"full {number}"))
    assert set(answers.values()) == {SUCCESS, OUT_OF_RESOURCES}
    listener.kill()
    files = listener.spool.glob("*/*/source/*.dcm")
    kept = {pydicom.dcmread(BytesIO(path.read_bytes())).SOPInstanceUID for path in files}
    assert kept == {uid for uid, status in answers.items() if status == SUCCESS}
