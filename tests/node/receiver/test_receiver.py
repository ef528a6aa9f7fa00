import shutil
import threading
from io import BytesIO

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import ALL_TRANSFER_SYNTAXES
from pynetdicom.sop_class import (
    CTImageStorage,
    EnhancedMRImageStorage,
    MRImageStorage,
    Verification,
)

from hagan_clinic.node.receiver import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, SUCCESS


def test_what_is_acknowledged_is_in_the_spool_unchanged(kept, receive, make_series, sending):
    node = receive()
    series = make_series("a")
    assert set(sending(node.port, series).values()) == {SUCCESS}
    found = kept(node)
    assert {uid: found[uid].PixelData for uid in found} == {
        one.SOPInstanceUID: one.PixelData for one in series
    }


def test_echo_is_answered(associated, receive):
    association = associated(receive().port, [(Verification, None)])
    assert association.send_c_echo().Status == 0
    association.release()


def test_every_transfer_syntax_of_mr_images_is_accepted_and_no_ct(associated, receive):
    port = receive().port
    contexts = [(MRImageStorage, [syntax]) for syntax in ALL_TRANSFER_SYNTAXES]
    contexts += [(EnhancedMRImageStorage, None), (CTImageStorage, None)]
    association = associated(port, contexts)
    assert [one.abstract_syntax for one in association.rejected_contexts] == [CTImageStorage]
    accepted = {one.transfer_syntax[0] for one in association.accepted_contexts}
    assert accepted == set(ALL_TRANSFER_SYNTAXES)
    association.release()


def test_compressed_instances_are_kept_as_they_came(kept, receive, test_data, sending):
    node = receive()
    files = (test_data / "dicom/pydicom_data").rglob("*.dcm")
    scans = [pydicom.dcmread(path) for path in files if pydicom.misc.is_dicom(path)]
    scans = [
        one
        for one in scans
        if one.get("SOPClassUID") == MRImageStorage
        and one.file_meta.TransferSyntaxUID.is_compressed
    ]
    assert scans
    answers = sending(node.port, scans)
    assert set(answers.values()) == {SUCCESS}
    found = kept(node)
    for scan in scans:
        mine = found[scan.SOPInstanceUID]
        assert mine.file_meta.TransferSyntaxUID == scan.file_meta.TransferSyntaxUID
        assert mine.PixelData == scan.PixelData


@pytest.mark.parametrize(
    "names", [{"aet": "OTHER"}, {"caller": "STRANGER"}], ids=["called", "calling"]
)
def test_a_wrong_title_is_rejected_and_nothing_kept(
    kept, associated, receive, make_series, sending, names
):
    node = receive(callers=("SCANNER",), forward="ARCHIVE@127.0.0.1:1")
    assert sending(node.port, make_series("b"), **names) == {}
    assert kept(node) == {}
    assert len(sending(node.port, make_series("b")[:1])) == 1
    assert associated(node.port, [(Verification, None)], caller="ARCHIVE").is_established


def test_little_space_is_answered_with_out_of_resources(kept, receive, make_series, sending):
    free = shutil.disk_usage("/tmp").free
    node = receive(min_free=str(free * 2))
    assert set(sending(node.port, make_series("c")).values()) == {OUT_OF_RESOURCES}
    assert kept(node) == {}


def test_a_synthetic_instance_is_acknowledged_and_not_kept(
    kept, receive, make_series, sending, waiting
):
    node = receive()
    series = make_series("d")
    for one in series[:3]:
        one.SyntheticData = "YES"
    assert set(sending(node.port, series).values()) == {SUCCESS}
    assert set(kept(node)) == {one.SOPInstanceUID for one in series[3:]}


def test_damaged_instances_are_refused_and_the_rest_kept(kept, receive, make_series, sending):
    node = receive()
    series = make_series("e")
    del series[0].SeriesInstanceUID
    series[1].PixelData = series[1].PixelData[:100]
    series[1]["PixelData"].VR = "OW"
    series[2].Rows, series[2].Columns = 65535, 65535
    answers = sending(node.port, series)
    assert answers[series[0].SOPInstanceUID] == CANNOT_UNDERSTAND
    assert set(answers.values()) == {SUCCESS, CANNOT_UNDERSTAND}
    assert {one.SOPInstanceUID for one in series[3:]} <= set(kept(node))


def test_two_senders_of_one_series_lose_nothing(kept, receive, make_series, sending):
    node = receive()
    series = make_series("h")
    answers = [{}, {}]

    def one(number, part):
        answers[number] = sending(node.port, part)

    threads = [
        threading.Thread(target=one, args=(0, series)),
        threading.Thread(target=one, args=(1, series[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers[0].values()) == set(answers[1].values()) == {SUCCESS}
    assert set(kept(node)) == {one.SOPInstanceUID for one in series}
    assert len(node.spool.jobs("incoming")) == 1


def test_file_meta_names_the_transfer_syntax(receive, make_series, sending):
    node = receive()
    series = make_series("l")[:1]
    sending(node.port, series)
    (path,) = node.spool.root.glob("incoming/*/source/*.dcm")
    meta = pydicom.dcmread(BytesIO(path.read_bytes())).file_meta
    assert meta.TransferSyntaxUID == series[0].file_meta.TransferSyntaxUID
    assert meta.TransferSyntaxUID in (ExplicitVRLittleEndian, *ALL_TRANSFER_SYNTAXES)
