"""Files that belong to another user, as after somebody worked on the spool as root."""

import json
import os
import subprocess
import sys

import pytest

from hagan_clinic.node.arrivals import complete
from hagan_clinic.node.endings import Endings
from hagan_clinic.node.metrics import Metrics
from hagan_clinic.node.spool import Spool

OWNER = 54321

WORK = """
import json, os, sys
from pathlib import Path

from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.metrics import Metrics
from hagan_clinic.node.recovery import recover
from hagan_clinic.node.retention import Retention
from hagan_clinic.node.endings import Endings
from hagan_clinic.node.spool import STATES, Spool
from hagan_clinic.node.worker import Translated, Worker


def translate(source, output, superseded):
    output.mkdir()
    (output / "1.dcm").write_bytes(b"derived")
    return Translated("model", "0" * 64, "cpu", ())


os.setegid(int(sys.argv[2]))
os.seteuid(int(sys.argv[2]))
spool = Spool(Path(sys.argv[1]))
recover(spool)
metrics = Metrics(spool)
Worker(spool, translate, NodeConfig(), metrics)()
Retention(spool, NodeConfig(keep_done_days=0.0), Endings(spool, metrics))()
states = {state: [path.name for path in (spool.root / state).iterdir()] for state in STATES}
print(json.dumps({"stuck": spool.stuck(), **states}))
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_what_belongs_to_root_holds_up_none_of_the_others(open_folder, store):
    spool = Spool(open_folder / "spool")

    def ready(uid):
        name, _ = store(spool, uid, uid, b"instance")
        return complete(spool, name)

    record, folder, source, good = map(ready, ("1.1", "1.2", "1.3", "1.4"))
    (record.folder / "record.json").write_text("{}")
    for path in (spool.root, *spool.root.rglob("*")):
        os.chown(path, OWNER, OWNER)
    for path, mode in ((record.folder / "record.json", 0o600), (folder.folder, 0o700)):
        os.chown(path, 0, 0)
        path.chmod(mode)
    os.chown(source.source, 0, 0)
    source.source.chmod(0o700)

    command = [sys.executable, "-c", WORK, str(spool.root), str(OWNER)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["outbox"] == [good.name]
    # What cannot be read is tried again, as often as `attempts` says.
    assert sorted(found["ready"]) == sorted([folder.name, source.name])
    assert found["stuck"] == 1
    assert found["failed"] == [record.name]
    told = json.loads((spool.root / "failed" / record.name / "record.json").read_text())
    assert "Permission denied" in told["reason"]


def test_what_an_operator_retries_meanwhile_does_not_fail(spool, store):
    name, _ = store(spool, "1.1", "1.1", b"instance")
    job = spool.move(complete(spool, name), "done")
    metrics = Metrics(spool)
    with Endings(spool, metrics).alone(job):
        spool.retry(name)
        spool.note(job, kept_since=1.0)  # as retention does: the folder is another by now
    assert [one.name for one in spool.jobs("ready")] == [name]
    assert spool.jobs("failed") == []
    assert not (spool.root / "audit.jsonl").exists()
