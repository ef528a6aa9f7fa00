import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("pynetdicom")

from click.testing import CliRunner

from hagan_clinic.cli import main
from hagan_clinic.node.arrivals import complete
from hagan_clinic.node.spool import Spool

OWNER = 54321


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


@pytest.fixture
def placed(store):
    """A function that gives a series in a state."""

    def put(spool, uid, state):
        name, _ = store(spool, uid, uid, b"instance")
        return spool.move(complete(spool, name), state, outcome=state, reason=f"so {state}")

    return put


def shown(spool):
    done = CliRunner().invoke(main, ["spool", "show", "--json", "--spool", str(spool.root)])
    assert done.exit_code == 0, done.output
    return {one["series"]: one for one in json.loads(done.stdout)}


def test_a_skipped_series_is_shown_retried_and_purged(spool, placed):
    first, second = placed(spool, "1.2", "skipped"), placed(spool, "1.3", "skipped")
    assert shown(spool)[first.name]["reason"] == "so skipped"
    where = ["--spool", str(spool.root)]
    assert CliRunner().invoke(main, ["spool", "retry", first.name, *where]).exit_code == 0
    assert CliRunner().invoke(main, ["spool", "purge", second.name, *where]).exit_code == 0
    assert [job.name for job in spool.jobs("ready")] == [first.name]
    assert spool.jobs("skipped") == []


def test_all_that_failed_is_retried_at_once_but_no_warning_accepted_unseen(spool, placed):
    for uid in ("1.2", "1.3"):
        placed(spool, uid, "failed")
    placed(spool, "1.4", "skipped")
    command = ["spool", "retry", "--all-failed", "--spool", str(spool.root)]
    assert CliRunner().invoke(main, [*command, "--accept-warnings"]).exit_code == 2
    assert CliRunner().invoke(main, [*command, "abc"]).exit_code == 2
    done = CliRunner().invoke(main, command)
    assert done.output.splitlines()[-1] == "2 series are ready again"
    assert (len(spool.jobs("ready")), len(spool.jobs("skipped"))) == (2, 1)


def test_damaged_series_are_shown_with_what_is_wrong_and_can_be_retried(spool, placed):
    torn, empty = placed(spool, "1.2", "failed"), placed(spool, "1.3", "failed")
    (torn.folder / "record.json").write_text("{")
    empty.source.rename(empty.folder / "moved")
    facts = shown(spool)
    assert facts[torn.name]["reason"] == "its record is not JSON"
    assert "cannot be read" in facts[empty.name]["reason"]
    where = ["--spool", str(spool.root)]
    assert CliRunner().invoke(main, ["spool", "retry", torn.name, *where]).exit_code == 0
    assert [job.record() for job in spool.jobs("ready")] == [{"accept_warnings": False}]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_root_leaves_every_file_to_the_owner_of_the_spool(open_folder, placed):
    spool = Spool(open_folder / "spool")
    job = placed(spool, "1.2", "failed")
    for path in (spool.root, *spool.root.rglob("*")):
        os.chown(path, OWNER, OWNER)
    command = [sys.executable, "-c", "from hagan_clinic.cli import main; main()", "spool"]
    subprocess.run([*command, "retry", job.name, "--spool", str(spool.root)], check=True)
    (ready,) = (spool.root / "ready").iterdir()
    assert (ready / "record.json").exists()
    assert {path.stat().st_uid for path in spool.root.rglob("*")} == {OWNER}
    assert {path.stat().st_gid for path in spool.root.rglob("*")} == {OWNER}
