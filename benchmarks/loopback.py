"""A node as a process of its own, a scanner and an archive in this one, all on loopback."""

import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pydicom
from pydicom.misc import is_dicom
from pynetdicom import AE, StoragePresentationContexts, evt

SILENCE = 5.0
"""Seconds after which the node takes a series for complete."""


class Archive:
    """Counts what it is given.

    Attributes:
        address: As `forward` names it.
        stored: How often each SOP Instance UID came.
    """

    def __init__(self) -> None:
        self._port = free_port()
        self.address = f"ARCHIVE@127.0.0.1:{self._port}"
        self.stored: Counter[str] = Counter()
        self.up()

    def up(self) -> None:
        """Listen."""
        ae = AE("ARCHIVE")
        ae.supported_contexts = StoragePresentationContexts
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_CONN_OPEN, _no_delay)]
        address = "127.0.0.1", self._port
        self._server = ae.start_server(address, block=False, evt_handlers=handlers)

    def down(self) -> None:
        """Listen no more."""
        self._server.shutdown()

    def _store(self, event: evt.Event) -> int:
        self.stored[event.request.AffectedSOPInstanceUID] += 1
        return 0


def scratch() -> TemporaryDirectory[str]:
    """A folder on the disk here: the usual one may be in memory, where an fsync costs nothing."""
    return TemporaryDirectory(dir=".", prefix="scratch-")


@contextmanager
def running_orthanc(folder: Path) -> Iterator[tuple[str, Callable[[], int]]]:
    """An Orthanc that keeps its images in `folder`, as `forward` names it, until the block ends.

    Yields:
        Its address, and a function that counts the instances it has, by its REST interface.
    """
    http, dicom = free_port(), free_port()
    settings = {
        "StorageDirectory": str(folder / "orthanc"),
        "IndexDirectory": str(folder / "orthanc"),
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "DicomAlwaysAllowStore": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    client = httpx.Client(base_url=f"http://127.0.0.1:{http}", trust_env=False)
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stderr=log)

    def count() -> int:
        return int(client.get("/statistics").json()["CountInstances"])

    try:
        for _ in range(300):
            with suppress(httpx.TransportError):
                count()
                break
            time.sleep(0.1)
        yield f"ORTHANC@127.0.0.1:{dicom}", count
    finally:
        process.terminate()
        process.wait()


@contextmanager
def running_node(
    folder: Path, model: str, forward: str, **settings: object
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The node and its port, with its spool and log in `folder`, until the block ends."""
    port = free_port()
    config = {
        "spool": f"{folder}/spool",
        "forward": forward,
        "host": "127.0.0.1",
        "port": port,
        "http_port": 0,
        "silence": SILENCE,
        "model": model,
        "warnings": "send",
        **settings,
    }
    path, log = folder / "node.toml", folder / "log.jsonl"
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in config.items()))
    command = [sys.executable, "-c", "from hagan_clinic.cli import main; main()", "listen"]
    with log.open("wb") as stream:
        node = subprocess.Popen([*command, "--config", str(path)], stderr=stream)
    try:
        while b'"listening"' not in log.read_bytes():
            if node.poll() is not None:
                sys.exit(log.read_text())
            time.sleep(0.1)
        yield node, port
    finally:
        node.terminate()
        node.wait()


def instances_of(series: Path) -> list[Path]:
    """The DICOM files of a folder."""
    return [path for path in sorted(series.iterdir()) if is_dicom(path)]


def send(port: int, instances: Sequence[pydicom.Dataset]) -> None:
    """Send in one association; an instance that is not acknowledged ends the program."""
    ae = AE("SCANNER")
    ae.add_requested_context(instances[0].SOPClassUID, instances[0].file_meta.TransferSyntaxUID)
    handlers = [(evt.EVT_CONN_OPEN, _no_delay)]
    association = ae.associate("127.0.0.1", port, ae_title="HAGAN", evt_handlers=handlers)
    for one in instances:
        status = association.send_c_store(one).get("Status")
        if status != 0:
            sys.exit(f"an instance was answered {status}")
    association.release()


def send_by_dcmtk(port: int, paths: Sequence[Path]) -> None:
    """Send the files in one association of DCMTK's `dcmsend`."""
    command = ["dcmsend", "-aec", "HAGAN", "127.0.0.1", str(port)]
    subprocess.run([*command, *map(str, paths)], check=True)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _no_delay(event: evt.Event) -> None:
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
