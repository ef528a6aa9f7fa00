"""Measure the DICOM node: instances received a second, and a series from sender to archive.

    python benchmarks/node_throughput.py SERIES MODEL

SERIES is a folder with a T1 series, MODEL a `.onnx` file or the name of a bundled model. The node
runs as a process of its own and the archive in this one, all on loopback. Printed are
the rate at which one association's instances are acknowledged, each after its fsync, and the time
from the last acknowledgement to the archive's last instance, without the silence that was
configured.
"""

import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pydicom
from pydicom.misc import is_dicom
from pynetdicom import AE, StoragePresentationContexts, evt

SILENCE = 5.0


def main(series: Path, model: str) -> None:
    """Print both figures."""
    instances = [pydicom.dcmread(path) for path in sorted(series.iterdir()) if is_dicom(path)]
    size = sum(path.stat().st_size for path in series.iterdir()) / 2**20
    print(f"{len(instances)} instances, {size:.0f} MiB")
    arrived: list[float] = []
    archive = AE("ARCHIVE")
    archive.supported_contexts = StoragePresentationContexts
    handlers = [
        (evt.EVT_C_STORE, lambda event: arrived.append(time.perf_counter()) or 0),
        (evt.EVT_CONN_OPEN, _no_delay),
    ]
    server = archive.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    with tempfile.TemporaryDirectory(dir=".") as folder:  # of the disk here, not in memory
        port = _free_port()
        config = {
            "spool": f"{folder}/spool",
            "forward": f"ARCHIVE@127.0.0.1:{server.socket.getsockname()[1]}",
            "host": "127.0.0.1",
            "port": port,
            "http_port": 0,
            "silence": SILENCE,
            "model": model,
            "warnings": "send",
        }
        path = Path(folder, "node.toml")
        path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items()))
        command = [sys.executable, "-c", "from hagan_clinic.cli import main; main()", "listen"]
        log = Path(folder, "log.jsonl")
        with log.open("wb") as stream:
            node = subprocess.Popen([*command, "--config", str(path)], stderr=stream)
        try:
            while b'"listening"' not in log.read_bytes():
                assert node.poll() is None, log.read_text()
                time.sleep(0.1)
            _measure(port, instances, arrived)
        finally:
            node.terminate()
            node.wait()
            server.shutdown()


def _measure(port: int, instances: list[pydicom.Dataset], arrived: list[float]) -> None:
    ae = AE("SCANNER")
    ae.add_requested_context(instances[0].SOPClassUID, instances[0].file_meta.TransferSyntaxUID)
    association = ae.associate(
        "127.0.0.1", port, ae_title="HAGAN", evt_handlers=[(evt.EVT_CONN_OPEN, _no_delay)]
    )
    start = time.perf_counter()
    for one in instances:
        assert association.send_c_store(one).Status == 0
    end = time.perf_counter()
    association.release()
    print(f"received: {len(instances) / (end - start):.0f} instances/s")
    while len(arrived) < len(instances):
        assert time.perf_counter() - end < 600, "the result has not come back within 600 s"
        time.sleep(0.1)
    print(f"back in the archive: {arrived[-1] - end - SILENCE:.1f} s after the silence")


def _no_delay(event: evt.Event) -> None:
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
