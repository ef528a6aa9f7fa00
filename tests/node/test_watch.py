import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from hagan_clinic.node.intake import Intake, IntakeVerdict
from hagan_clinic.node.metrics import Metrics
from hagan_clinic.node.watch import Watch

SILENCE = 5.0


@pytest.fixture
def dropped(tmp_path, spool, monkeypatch):
    """A watched folder, the watch, and the clock that it goes by."""
    folder = tmp_path / "drop"
    folder.mkdir()
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    intake = Intake(spool, Metrics(spool), 0)
    watch = Watch(folder, intake, SILENCE, 2**20)
    return SimpleNamespace(folder=folder, watch=watch, intake=intake, now=now)


def kept(spool):
    return [path.read_bytes() for job in spool.jobs("incoming") for path in job.source.iterdir()]


def test_a_file_that_is_still_being_written_is_left_until_it_rests(
    dropped, spool, make_series, encoded
):
    content = encoded(make_series("slow")[0])
    path = dropped.folder / "slow.dcm"
    for end in (len(content) // 2, len(content)):  # a sender that pauses for almost as long
        path.write_bytes(content[:end])
        dropped.watch()
        dropped.now[0] += SILENCE - 0.1
        dropped.watch()
        assert kept(spool) == []
    dropped.now[0] += 0.2
    dropped.watch()
    assert kept(spool) == [content]
    assert not path.exists()


def test_a_file_that_was_replaced_while_it_was_taken_is_not_removed(
    dropped, spool, make_series, encoded, monkeypatch
):
    first, second = (encoded(one) for one in make_series("replaced")[:2])
    path = dropped.folder / "same.dcm"
    path.write_bytes(first)
    take = dropped.intake.take

    def take_and_replace(file):
        if file.read_bytes() == first:
            (dropped.folder / "new").write_bytes(second)
            (dropped.folder / "new").replace(path)
        return take(file)

    monkeypatch.setattr(dropped.intake, "take", take_and_replace)
    for _ in range(4):
        dropped.watch()
        dropped.now[0] += SILENCE
    assert sorted(kept(spool)) == sorted([first, second])
    assert not path.exists()


def test_what_is_not_for_the_node_is_looked_at_once_and_stays(dropped, spool, caplog):
    (dropped.folder / "notes.txt").write_text("not DICOM")
    (dropped.folder / "large.dcm").write_bytes(bytes(2**20 + 1))
    with caplog.at_level("WARNING", "hagan_clinic.node"):
        for _ in range(5):
            dropped.watch()
            dropped.now[0] += SILENCE
    assert sorted(record.args["why"] for record in caplog.records) == ["oversized", "refused"]
    assert len(list(dropped.folder.iterdir())) == 2


def test_what_cannot_be_removed_is_taken_once(
    dropped, spool, make_series, encoded, monkeypatch, caplog
):
    content = encoded(make_series("fixed")[0])
    path = dropped.folder / "fixed.dcm"
    path.write_bytes(content)
    take, unlink, taken = dropped.intake.take, Path.unlink, []

    def counted(file):
        taken.append(file.read_bytes())
        return take(file)

    def refused(which, **options):
        if which == path:
            raise PermissionError(13, "Permission denied")
        unlink(which, **options)

    monkeypatch.setattr(dropped.intake, "take", counted)
    monkeypatch.setattr(Path, "unlink", refused)
    with caplog.at_level("WARNING", "hagan_clinic.node"):
        for _ in range(5):
            dropped.watch()
            dropped.now[0] += SILENCE
    assert taken == kept(spool) == [content]
    assert [record.msg for record in caplog.records] == ["not removed"]


def test_without_room_a_file_is_tried_again_after_each_silence(
    dropped, spool, make_series, encoded, monkeypatch
):
    content = encoded(make_series("room")[0])
    (dropped.folder / "room.dcm").write_bytes(content)
    tries = []

    def full(content):
        tries.append(dropped.now[0])
        return IntakeVerdict.NO_SPACE, ""

    with monkeypatch.context() as patch:
        patch.setattr(dropped.intake, "take", full)
        for _ in range(30):
            dropped.watch()
            dropped.now[0] += 1.0
    assert len(tries) == 5
    dropped.now[0] += SILENCE
    dropped.watch()
    assert kept(spool) == [content]
