"""A real archive: Debian's Orthanc, with its DICOMweb plugin, started for the tests alone."""

import json
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pydicom
import pytest
from pynetdicom import AE

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
SENDER = "HAGAN_TEST"
START_SECONDS = 60


@dataclass(frozen=True)
class Archive:
    """A running Orthanc.

    Attributes:
        web: A client of its REST interface.
        dicom_port: Where it takes C-STORE, on loopback.
    """

    web: httpx.Client
    dicom_port: int

    def c_store(self, paths):
        """Send files as they are, each in its own transfer syntax; give the statuses."""
        datasets = [pydicom.dcmread(path) for path in paths]
        sender = AE(ae_title=SENDER)
        for uid, syntax in {(d.SOPClassUID, d.file_meta.TransferSyntaxUID) for d in datasets}:
            sender.add_requested_context(uid, syntax)
        association = sender.associate("127.0.0.1", self.dicom_port, ae_title="ORTHANC")
        assert association.is_established
        try:
            return [association.send_c_store(dataset).Status for dataset in datasets]
        finally:
            association.release()

    def get(self, path):
        """The answer of the REST interface, from JSON."""
        return self.web.get(path).raise_for_status().json()

    def find(self, level, **query):
        """What the index holds of a level, such as `Series`, with its children and main tags."""
        asked = {"Level": level, "Query": query, "Expand": True}
        return self.web.post("/tools/find", json=asked).raise_for_status().json()

    def tags(self, level, identifier, *keywords):
        """Each keyword's values in the instances of a study or series."""
        found = self.get(f"/{level}/{identifier}/instances-tags?simplify")
        return {key: {tags.get(key) for tags in found.values()} for key in keywords}

    def download(self, level, identifier, path):
        """Write the zip of a study or series, and give its path."""
        answer = self.web.get(f"/{level}/{identifier}/archive").raise_for_status()
        path.write_bytes(answer.content)
        return path

    def stow(self, study, paths):
        """Store files by STOW-RS (PS3.18 10.5) and give its answer."""
        parts = [
            b"--part\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n"
            for path in paths
        ]
        kind = 'multipart/related; type="application/dicom"; boundary=part'
        answer = self.web.post(
            study,
            content=b"".join([*parts, b"--part--"]),
            headers={"Content-Type": kind, "Accept": "application/dicom+json"},
        )
        return answer.raise_for_status().json()

    def upload(self, path):
        """What it says of one file that it is sent: `Success` or `AlreadyStored`."""
        answer = self.web.post("/instances", content=path.read_bytes())
        return answer.raise_for_status().json()["Status"]


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    """An empty Orthanc that nobody but this machine can reach, ended with the tests."""
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    if program is None:
        pytest.skip("Orthanc is not installed")
    process, running = start(program, tmp_path_factory.mktemp("orthanc"))
    try:
        yield running
    finally:
        running.web.close()
        stop(process)


@pytest.fixture(scope="session")
def dicomweb(archive):
    """The archive, where it speaks DICOMweb."""
    if "dicom-web" not in archive.get("/plugins"):
        pytest.skip("the DICOMweb plugin of Orthanc is not installed")
    return archive


def start(program, folder):
    """Start it on free ports; another program may take one before it does, so try again."""
    for attempt in range(5):
        http_port, dicom_port = free_ports(2)
        storage = folder / f"storage{attempt}"
        config = folder / f"orthanc{attempt}.json"
        config.write_text(json.dumps(configuration(storage, http_port, dicom_port)))
        log = (folder / f"log{attempt}.txt").open("w")
        # It ends with the tests even where these are killed.
        command = ["setpriv", "--pdeathsig", "TERM", program, str(config)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        # Not through a proxy that the environment names.
        web = httpx.Client(base_url=f"http://127.0.0.1:{http_port}", timeout=60, trust_env=False)
        if answers(process, web, str(storage)):
            return process, Archive(web, dicom_port)
        stop(process)
    pytest.fail(f"Orthanc does not start: {(folder / f'log{attempt}.txt').read_text()[-2000:]}")


def configuration(storage, http_port, dicom_port):
    return {
        "Name": str(storage),  # tells this Orthanc from any other that may answer at its port
        "StorageDirectory": str(storage),
        "IndexDirectory": str(storage),
        "HttpPort": http_port,
        "DicomPort": dicom_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": False,
        "DicomCheckModalityHost": True,
        "DicomModalities": {"tests": [SENDER, "127.0.0.1", 104]},
        "Plugins": [str(PLUGIN)] if PLUGIN.exists() else [],
    }


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def answers(process, web, name):
    """Whether it runs and is the one that was started."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            return web.get("/system").json()["Name"] == name
        except httpx.TransportError:
            time.sleep(0.1)
    return False


def stop(process):
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
