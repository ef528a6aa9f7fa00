"""A real Orthanc that routes series to the node and gets the synthetic ones back."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

httpx = pytest.importorskip("httpx")

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")

KIT = Path(__file__).parents[2] / "export" / "orthanc"

ROUTE_EVERYTHING = """
function OnStoredInstance(instanceId, tags, metadata)
  if tags["Modality"] == "MR" then
    SendToModality(instanceId, "hagan")
  end
end
"""


def kits_routing(port):
    """The configuration of export/, with the node's port and the script where they are here."""
    settings = json.loads((KIT / "hagan-clinic.json").read_text())
    assert settings["DicomModalities"]["hagan"]["AET"] == "HAGAN"
    settings["DicomModalities"]["hagan"]["Port"] = port
    (script,) = settings["LuaScripts"]
    settings["LuaScripts"] = [str(KIT / Path(script).name)]
    return settings


def routing_everything(folder, port):
    """Routes all of MR, what the node made too: no circle may come of it."""
    (folder / "route.lua").write_text(ROUTE_EVERYTHING)
    modalities = {"hagan": ["HAGAN", "127.0.0.1", port]}
    return {"DicomModalities": modalities, "LuaScripts": [str(folder / "route.lua")]}


class Orthanc:
    def __init__(self, folder, http_port, dicom_port, routing):
        settings = {
            "Name": "test",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": http_port,
            "DicomPort": dicom_port,
            "DicomAet": "ORTHANC",
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowStore": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "Plugins": [str(PLUGIN)] if PLUGIN.exists() else [],
            "StableAge": 3,
            **routing,
        }
        path = folder / "orthanc.json"
        path.write_text(json.dumps(settings))
        self.log = (folder / "orthanc.log").open("wb")
        self.process = subprocess.Popen(
            ["Orthanc", "--verbose", str(path)], stdout=self.log, stderr=self.log
        )
        self.url = f"http://127.0.0.1:{http_port}"

    def get(self, path):
        return httpx.get(self.url + path, timeout=60).json()

    def is_up(self):
        try:
            return bool(self.get("/system"))
        except httpx.HTTPError:
            return False

    def upload(self, datasets, encoded):
        for one in datasets:
            response = httpx.post(f"{self.url}/instances", content=encoded(one), timeout=60)
            response.raise_for_status()

    def series(self):
        return [self.get(f"/series/{one}") for one in self.get("/series")]

    def synthetic(self):
        return [
            one
            for one in self.series()
            if one["MainDicomTags"].get("SeriesDescription", "").startswith("SYNTHETIC")
        ]

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


@pytest.fixture
def start_orthanc(tmp_path, waiting, free_ports):
    if shutil.which("Orthanc") is None:
        pytest.skip("Orthanc is not installed")
    started = []

    def start(routing):
        http_port, dicom_port = free_ports(2)
        one = Orthanc(tmp_path, http_port, dicom_port, routing)
        started.append(one)
        waiting(one.is_up)
        return one, http_port, dicom_port

    yield start
    for one in started:
        one.stop()


@pytest.mark.parametrize("by", ["C-STORE", "STOW-RS"])
def test_a_routed_t1_comes_back_as_a_synthetic_flair_in_the_same_study(
    start_orthanc, make_listener, make_series, encoded, waiting, tmp_path, by
):
    if by == "STOW-RS" and not PLUGIN.exists():
        pytest.skip("Orthanc's DICOMweb plugin is not installed")
    listener = make_listener(start=False)
    orthanc, http_port, dicom_port = start_orthanc(routing_everything(tmp_path, listener.port))
    listener.settings["forward"] = (
        f"ORTHANC@127.0.0.1:{dicom_port}"
        if by == "C-STORE"
        else f"http://127.0.0.1:{http_port}/dicom-web"
    )
    listener.start()
    series = make_series(f"orthanc {by}")
    orthanc.upload(series, encoded)

    waiting(lambda: listener.states()["done"] or listener.states()["failed"])
    listener.wait_for_rest(done=1)
    (record,) = listener.records("done")
    assert record["commitment"] == ("committed" if by == "C-STORE" else "not asked")
    (synthetic,) = orthanc.synthetic()
    assert len(synthetic["Instances"]) == len(series)
    study = orthanc.get(f"/studies/{synthetic['ParentStudy']}")
    assert study["MainDicomTags"]["StudyInstanceUID"] == series[0].StudyInstanceUID
    assert len(study["Series"]) == 2

    def ignored():
        return sum(line["outcome"] == "synthetic" for line in listener.events("ignored"))

    waiting(lambda: ignored() >= len(series))
    assert len(orthanc.series()) == 2
    assert len(listener.states()["done"]) == 1


def test_the_kits_configuration_routes_the_t1_of_a_study_and_nothing_else(
    start_orthanc, make_listener, test_data, waiting
):
    listener = make_listener(start=False)
    orthanc, _, dicom_port = start_orthanc(kits_routing(listener.port))
    listener.settings["forward"] = f"ORTHANC@127.0.0.1:{dicom_port}"
    listener.start()
    study = test_data / "dicom" / "brainix"
    slices = len(list((study / "t1").iterdir()))
    for path in [*(study / "t1").iterdir(), *(study / "flair").iterdir()]:
        httpx.post(f"{orthanc.url}/instances", content=path.read_bytes()).raise_for_status()

    waiting(lambda: listener.states()["done"] or listener.states()["failed"])
    listener.wait_for_rest(done=1)
    (synthetic,) = orthanc.synthetic()
    assert len(synthetic["Instances"]) == slices
    assert len(orthanc.get(f"/studies/{synthetic['ParentStudy']}")["Series"]) == 3
    # Until Orthanc calls the new series stable, and would have routed it.
    waiting(lambda: orthanc.get(f"/series/{synthetic['ID']}")["IsStable"])
    (complete,) = listener.events("complete")
    assert complete["instances"] == slices
    assert not listener.events("ignored")


@pytest.mark.slow
def test_a_real_archive_takes_the_later_result_and_the_note_that_rejects_the_earlier_one(
    start_orthanc, make_listener, make_series, sending, waiting
):
    listener = make_listener(start=False, silence=3.0)
    modalities = {"hagan": ["HAGAN", "127.0.0.1", listener.port]}
    orthanc, _, dicom_port = start_orthanc({"DicomModalities": modalities})
    listener.settings["forward"] = f"ORTHANC@127.0.0.1:{dicom_port}"
    listener.start()
    series = make_series("in two parts")
    for part in (series[:5], series[5:]):
        sending(listener.port, part)
        listener.wait_for_rest(done=1)
    (record,) = listener.records("done")
    assert record["commitment"] == "committed"
    kinds = [one["MainDicomTags"]["Modality"] for one in orthanc.series()]
    assert sorted(kinds) == ["KO", "MR", "MR"]
    assert len({one["ParentStudy"] for one in orthanc.series()}) == 1
