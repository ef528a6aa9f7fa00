import shutil

from hagan_clinic.node.recovery import recover
from hagan_clinic.node.spool import Spool


def test_what_was_running_at_a_crash_begins_again_without_its_half_result(spool, pair):
    pair(spool, "running")
    (spool.root / "tmp" / "half").write_bytes(b"not acknowledged")
    again = Spool(spool.root)
    assert recover(again) == 1
    (job,) = again.jobs("ready")
    assert not job.result.exists()
    assert job.record()["attempts"] == 1
    assert list((spool.root / "tmp").iterdir()) == []


def test_what_a_kill_left_half_made_is_removed_at_the_next_start(spool, pair):
    begun = spool.root / "incoming" / ("a" * 24)
    (begun / "source").mkdir(parents=True)
    barely = spool.root / "incoming" / ("b" * 24)
    barely.mkdir()
    job = pair(spool, "running")
    (job.folder / ".0123456789ab.result").mkdir()
    (job.folder / ".0123456789ab.record.json").write_text("{")
    again = Spool(spool.root)
    assert recover(again) == 1
    (ready,) = again.jobs("ready")
    assert sorted(path.name for path in ready.folder.iterdir()) == ["record.json", "source"]
    assert not begun.exists() and not barely.exists()


def test_a_series_that_cannot_begin_again_does_not_stop_the_start(spool, pair):
    job = pair(spool, "running")
    shutil.copytree(job.folder, spool.root / "ready" / job.name)
    again = Spool(spool.root)
    recover(again)
    (failed,) = again.jobs("failed")
    assert "cannot begin again" in failed.record()["reason"]
