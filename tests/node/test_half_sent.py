"""Senders that pause within a head: no part of it reaches the archive before its rest."""

import copy
import json
import random
from collections import Counter

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner
from pydicom.uid import generate_uid

STEP = 4  # of slices and of pixels: small, but a whole head


@pytest.fixture(scope="session")
def head(test_data):
    """A whole real head, coarse, without the vendor's private elements."""
    files = [
        pydicom.dcmread(path) for path in sorted((test_data / "dicom/sag_mprage").glob("*.dcm"))
    ]
    files.sort(key=lambda one: one.InstanceNumber)
    slices = files[::STEP]
    for one in slices:
        one.remove_private_tags()
        one.PixelData = np.ascontiguousarray(one.pixel_array[::STEP, ::STEP]).tobytes()
        one.Rows, one.Columns = one.Rows // STEP, one.Columns // STEP
        one.PixelSpacing = [float(value) * STEP for value in one.PixelSpacing]
    return slices


@pytest.fixture
def make_head(head):
    """A function that gives the head as another series."""

    def made(name):
        rng = random.Random(name)
        uids = [generate_uid(entropy_srcs=[f"{name} {rng.random()}"]) for _ in range(len(head) + 1)]
        series = []
        for scan, uid in zip(head, uids, strict=False):
            one = copy.deepcopy(scan)
            one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = uid
            one.SeriesInstanceUID = uids[-1]
            series.append(one)
        return series

    return made


def none_arrives_before_its_rest(make_listener, make_head, sending, archive, waiting, cuts):
    listener = make_listener(silence=2.0)
    heads = [make_head(f"cut at {cut}") for cut in cuts]
    for series, cut in zip(heads, cuts, strict=True):
        sending(listener.port, series[: round(cut * len(series))])
    waiting(lambda: len(listener.events("incomplete")) >= len(cuts), listener.failure)
    assert archive.stored == {}
    assert listener.states()["ready"] == listener.states()["outbox"] == []
    for series, cut in zip(heads, cuts, strict=True):
        sending(listener.port, series[round(cut * len(series)) :])
    listener.wait_for_rest(done=len(cuts), seconds=600)
    found = Counter(
        str(one.ReferencedSeriesSequence[0].SeriesInstanceUID) for one in archive.datasets()
    )
    assert found == {series[0].SeriesInstanceUID: len(series) for series in heads}


def test_of_a_half_sent_head_nothing_reaches_the_archive_before_its_rest(
    make_listener, make_head, sending, archive, waiting
):
    none_arrives_before_its_rest(
        make_listener, make_head, sending, archive, waiting, cuts=(0.3, 0.72)
    )


@pytest.mark.slow
def test_of_heads_cut_at_20_points_nothing_reaches_the_archive_before_its_rest(
    make_listener, make_head, sending, archive, waiting
):
    cuts = np.linspace(0.12, 0.88, 20)
    none_arrives_before_its_rest(make_listener, make_head, sending, archive, waiting, cuts)


def test_a_pause_within_an_open_association_parts_no_series(
    make_listener, make_series, sending, archive
):
    listener = make_listener(silence=1.0)
    series = make_series("slow")
    sending(listener.port, series, pause=2.0)
    listener.wait_for_rest(done=1)
    assert len(listener.events("complete")) == 1
    assert len(archive.stored) == len(series)


def test_what_is_held_back_is_shown_and_goes_on_when_an_operator_releases_it(
    make_listener, make_head, sending, archive, waiting
):
    import httpx

    from hagan_clinic.cli import main

    listener = make_listener(start=False, silence=1.0)
    listener.settings["http_port"] = listener.port + 1
    listener.start()
    series = make_head("held")
    sending(listener.port, series[:30])
    waiting(lambda: listener.events("incomplete"), listener.failure)
    base = f"http://127.0.0.1:{listener.port + 1}"

    def told():
        return list(httpx.get(f"{base}/health", timeout=60).json()["incomplete"].values())

    waiting(told, listener.failure)
    (reason,) = told()
    assert "end is cut off" in reason
    assert (
        'hagan_spool_incomplete_series{why="cut"} 1.0'
        in httpx.get(f"{base}/metrics", timeout=60).text
    )
    where = ["--spool", str(listener.spool)]
    (shown,) = json.loads(CliRunner().invoke(main, ["spool", "show", "--json", *where]).stdout)
    assert (shown["state"], shown["outcome"]) == ("incoming", "incomplete")
    assert "end is cut off" in shown["reason"]
    done = CliRunner().invoke(main, ["spool", "release", shown["series"], *where])
    assert done.exit_code == 0, done.output
    listener.wait_for_rest(done=1)
    assert len(archive.stored) == 30
