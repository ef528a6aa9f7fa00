"""Real series cut small, an archive that counts what it gets, the real listener as a process."""

import copy
import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid

pynetdicom = pytest.importorskip("pynetdicom")

from pynetdicom import AE, evt  # noqa: E402

SLICES = 6
SIZE = 48  # pixels of a side
SERIES = "[0-9a-f]" * 24  # names of their folders in the spool


@pytest.fixture(scope="session")
def scans(test_data):
    """Six slices of a real MPRAGE, cut to their middle."""
    files = [
        pydicom.dcmread(path) for path in sorted((test_data / "dicom/sag_mprage").glob("*.dcm"))
    ]
    files.sort(key=lambda one: one.InstanceNumber)
    # Every third one: less than 10 mm would be refused as a fragment, also without the last.
    middle = files[len(files) // 2 :: 3][:SLICES]
    for one in middle:
        one.remove_private_tags()  # ten times as large as what is left of the pixels
        top, left = (one.Rows - SIZE) // 2, (one.Columns - SIZE) // 2
        one.PixelData = one.pixel_array[top : top + SIZE, left : left + SIZE].tobytes()
        one.Rows = one.Columns = SIZE
    return middle


@pytest.fixture
def make_series(scans):
    """A function that gives a new series: real slices under UIDs of their own."""

    def made(name):
        rng = random.Random(name)
        uids = [
            generate_uid(entropy_srcs=[f"{name} {i} {rng.random()}"]) for i in range(SLICES + 1)
        ]
        series = []
        for scan, uid in zip(scans, uids, strict=False):
            one = copy.deepcopy(scan)
            one.SOPInstanceUID = uid
            one.file_meta.MediaStorageSOPInstanceUID = uid
            one.SeriesInstanceUID = uids[-1]
            series.append(one)
        return series

    return made


class Archive:
    """An SCP that keeps count of what it takes, and can be down or unwilling."""

    def __init__(self, port):
        self.port = port
        self.stored = Counter()
        self.contents = {}
        self.statuses = []  # answered first, one an instance
        self.refused = set()  # instances that it never takes
        self.takes_notes = True  # key object selections
        self.order = []  # as they came
        self.poison = None  # the instance at which it ends the association
        self.cut = []
        self._server = None

    def up(self):
        ae = AE("ARCHIVE")
        ae.require_called_aet = True
        ae.supported_contexts = [
            one
            for one in pynetdicom.StoragePresentationContexts
            if self.takes_notes or "Key Object" not in one.abstract_syntax.name
        ]
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_CONN_OPEN, _no_delay)]
        self._server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        return self

    def down(self):
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def _store(self, event):
        uid = str(event.request.AffectedSOPInstanceUID)
        if uid in self.refused:
            return 0xC000
        if self.statuses and (status := self.statuses.pop(0)):
            return status
        if uid == self.poison:
            self.cut.append(uid)
            event.assoc.abort()
            return 0x0110
        content = event.encoded_dataset()
        assert self.contents.setdefault(uid, content) == content, "two contents under one UID"
        self.stored[uid] += 1
        self.order.append(uid)
        return 0x0000

    def datasets(self):
        from io import BytesIO

        return [pydicom.dcmread(BytesIO(content)) for content in self.contents.values()]


class Listener:
    """`hagan-clinic listen` as a process of its own."""

    def __init__(self, folder, archive_port, model, **settings):
        self.spool = folder / "spool"
        self.log = folder / "log.jsonl"
        self.config = folder / "node.toml"
        self.process = None
        self.settings = {
            "spool": str(self.spool),
            "forward": f"ARCHIVE@127.0.0.1:{archive_port}",
            "host": "127.0.0.1",
            "port": free_port(),
            "http_port": 0,
            "silence": 5.0,  # a busy machine may take a second for an instance
            "min_free": "1KiB",
            "model": str(model),
            "device": "cpu",
            "threads": 1,
            "warnings": "send",
            "retry_first": 0.2,
            "retry_longest": 0.5,
            "attempts": 1000,
            **settings,
        }
        self.port = self.settings["port"]

    def start(self):
        lines = [f"{name} = {json.dumps(value)}" for name, value in self.settings.items()]
        self.config.write_text("\n".join(lines) + "\n")
        started = self.log.stat().st_size if self.log.exists() else 0
        command = [sys.executable, "-c", "from hagan_clinic.cli import main; main()"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "listen", "--config", str(self.config)], stdout=log, stderr=log
            )
        wait_for(lambda: b'"listening"' in self.log.read_bytes()[started:], self.failure)
        return self

    def failure(self):
        assert self.process.poll() is None, self.log.read_text()

    def kill(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=240)

    def states(self):
        """Names of the series by state."""
        return {
            state: sorted(path.name for path in (self.spool / state).glob(SERIES) if path.is_dir())
            for state in ("incoming", "ready", "running", "outbox", "done", "skipped", "failed")
        }

    def wait_for_rest(self, done, seconds=300):
        """Wait until nothing is in work and so many series are done."""

        def rests():
            self.failure()
            states = self.states()
            in_work = sum(len(states[s]) for s in ("incoming", "ready", "running", "outbox"))
            ended = sum(len(states[s]) for s in ("done", "skipped", "failed"))
            return in_work == 0 and ended >= done

        wait_for(rests, lambda: None, seconds)

    def events(self, name):
        whole = self.log.read_text().rpartition("\n")[0]  # the last may not be written yet
        lines = [json.loads(line) for line in whole.splitlines()]  # every one is JSON
        return [line for line in lines if line["event"] == name]

    def records(self, state):
        paths = (self.spool / state).glob("*/record.json")
        return [json.loads(path.read_text()) for path in paths]


def wait_for(condition, check=lambda: None, seconds=240):
    end = time.monotonic() + seconds
    while not condition():
        check()
        assert time.monotonic() < end, f"not so within {seconds} s"
        time.sleep(0.05)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _no_delay(event):
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def send(port, datasets, *, aet="HAGAN", caller="SCANNER", pause=0.0, syntaxes=None, tls=None):
    """Send instances; the statuses of those that were answered, by UID."""
    ae = AE(caller)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 120
    classes = {(one.SOPClassUID, one.file_meta.TransferSyntaxUID) for one in datasets}
    for sop_class, syntax in classes:
        ae.add_requested_context(sop_class, syntaxes or [syntax])
    answers = {}
    association = ae.associate(
        "127.0.0.1", port, ae_title=aet, evt_handlers=[(evt.EVT_CONN_OPEN, _no_delay)], tls_args=tls
    )
    if not association.is_established:
        return answers
    try:
        for one in datasets:
            status = association.send_c_store(one).get("Status")
            if status is not None:
                answers[str(one.SOPInstanceUID)] = status
            time.sleep(pause)
    except RuntimeError:  # the listener is gone
        pass
    if association.is_established:
        association.release()
    return answers


@pytest.fixture
def archive():
    one = Archive(free_port()).up()
    yield one
    one.down()


@pytest.fixture
def make_listener(tmp_path, archive, toy_generator):
    """A function that makes a listener, which forwards to the archive, and starts it."""
    made = []

    def make(start=True, **settings):
        listener = Listener(Path(tmp_path), archive.port, toy_generator, **settings)
        made.append(listener)
        return listener.start() if start else listener

    yield make
    for listener in made:
        listener.kill()


@pytest.fixture
def sending():
    """The function that sends instances."""
    return send


@pytest.fixture
def free_ports():
    """A function that gives ports that nobody listens on."""
    return lambda count: [free_port() for _ in range(count)]


@pytest.fixture
def waiting():
    """The function that waits for a condition."""
    return wait_for


@pytest.fixture
def spool(tmp_path):
    from hagan_clinic.node.spool import Spool

    return Spool(tmp_path / "spool")


@pytest.fixture
def pair(store):
    """A function that gives a series of two instances in a state, under the UID 1.2.840.99.7."""
    from hagan_clinic.node.arrivals import complete

    def placed(spool, state):
        uid, name = "1.2.840.99.7", ""
        for number in range(2):
            name, _ = store(spool, uid, f"{uid}.{number}", b"instance %d" % number)
        if state == "incoming":
            return spool.find(name)
        job = complete(spool, name)
        if state != "ready":
            job = spool.take(job)
            job.result.mkdir()
            (job.result / "0001.dcm").write_bytes(b"derived")
            job = spool.move(job, state, reason="so") if state != "running" else job
        return job

    return placed


@pytest.fixture
def encoded():
    """The function that gives the bytes of a DICOM file."""

    def bytes_of(dataset):
        from io import BytesIO

        buffer = BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        return buffer.getvalue()

    return bytes_of


@pytest.fixture
def arrived(spool, encoded):
    """The function that puts a DICOM file where the receiver has what it gets."""

    def written(dataset):
        path = spool.temporary / dataset.SOPInstanceUID
        path.write_bytes(encoded(dataset))
        return path

    return written


@pytest.fixture
def receive(spool):
    """A function that starts the receiver in this process: its port, and its parts."""
    from contextlib import ExitStack
    from types import SimpleNamespace

    from hagan_clinic.node.config import NodeConfig
    from hagan_clinic.node.intake import Intake
    from hagan_clinic.node.metrics import Metrics
    from hagan_clinic.node.receiver import receiving

    with ExitStack() as stack:

        def start(report=lambda event, information: None, **settings):
            settings = {"host": "127.0.0.1", "port": 0, "min_free": "1KiB", **settings}
            config = NodeConfig(**settings)
            metrics = Metrics(spool)
            intake = Intake(spool, metrics, config.min_free_bytes)
            port = stack.enter_context(receiving(config, intake, report))
            return SimpleNamespace(port=port, spool=spool, intake=intake, metrics=metrics)

        yield start
