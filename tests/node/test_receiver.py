import select
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from io import BytesIO

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES
from pynetdicom.dimse_messages import C_FIND_RQ, C_STORE_RQ
from pynetdicom.dimse_primitives import C_FIND, C_STORE
from pynetdicom.sop_class import (
    CTImageStorage,
    EnhancedMRImageStorage,
    MRImageStorage,
    Verification,
)

from hagan_clinic.node.associations import WAITING_PER_PEER
from hagan_clinic.node.receiver import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, SUCCESS


def kept(node):
    """What the spool holds, read from its files."""
    files = node.spool.root.glob("*/*/source/*.dcm")
    return {str(one.SOPInstanceUID): one for one in map(pydicom.dcmread, files)}


def turned_away(node):
    """How many connections came to nothing, by why."""
    (counter,) = node.metrics.turned_away.collect()
    return {one.labels["why"]: one.value for one in counter.samples if one.name.endswith("_total")}


def associated(port, contexts, *, aet="HAGAN", caller="SCANNER", tls=None, address=""):
    ae = AE(caller)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = 60
    for sop_class, syntax in contexts:
        ae.add_requested_context(sop_class, syntax)
    return ae.associate("127.0.0.1", port, ae_title=aet, tls_args=tls, bind_address=(address, 0))


def test_what_is_acknowledged_is_in_the_spool_unchanged(receive, make_series, sending):
    node = receive()
    series = make_series("a")
    assert set(sending(node.port, series).values()) == {SUCCESS}
    found = kept(node)
    assert {uid: found[uid].PixelData for uid in found} == {
        one.SOPInstanceUID: one.PixelData for one in series
    }


def test_echo_is_answered(receive):
    association = associated(receive().port, [(Verification, None)])
    assert association.send_c_echo().Status == 0
    association.release()


def test_every_transfer_syntax_of_mr_images_is_accepted_and_no_ct(receive):
    port = receive().port
    contexts = [(MRImageStorage, [syntax]) for syntax in ALL_TRANSFER_SYNTAXES]
    contexts += [(EnhancedMRImageStorage, None), (CTImageStorage, None)]
    association = associated(port, contexts)
    assert [one.abstract_syntax for one in association.rejected_contexts] == [CTImageStorage]
    accepted = {one.transfer_syntax[0] for one in association.accepted_contexts}
    assert accepted == set(ALL_TRANSFER_SYNTAXES)
    association.release()


def test_compressed_instances_are_kept_as_they_came(receive, test_data, sending):
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
def test_a_wrong_title_is_rejected_and_nothing_kept(receive, make_series, sending, names):
    node = receive(callers=("SCANNER",), forward="ARCHIVE@127.0.0.1:1")
    assert sending(node.port, make_series("b"), **names) == {}
    assert kept(node) == {}
    assert len(sending(node.port, make_series("b")[:1])) == 1
    assert associated(node.port, [(Verification, None)], caller="ARCHIVE").is_established


def test_more_associations_than_allowed_are_rejected(receive):
    node = receive(max_associations=2)
    held = [associated(node.port, [(Verification, None)]) for _ in range(3)]
    assert [one.is_established for one in held] == [True, True, False]
    assert held[2].is_rejected
    assert turned_away(node) == {"limit": 1}
    for one in held[:2]:
        one.release()
    assert associated(node.port, [(Verification, None)]).is_established


def test_more_associations_of_one_address_than_allowed_are_rejected(receive):
    node = receive(max_associations_per_peer=1)
    held = [associated(node.port, [(Verification, None)]) for _ in range(2)]
    assert [one.is_established for one in held] == [True, False]
    assert turned_away(node) == {"peer_limit": 1}
    held[0].release()


def bare(port, count):
    return [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(count)]


def test_bare_connections_take_no_slot_from_those_who_send(receive, make_series, sending, waiting):
    node = receive(max_associations=2, acse_timeout=3.0)
    connections = []
    for number in range(3):
        connections += bare(node.port, 20)
        for one in connections[::2]:  # some close at once, some never
            one.close()
        answers = sending(node.port, make_series(f"bare {number}"))
        assert list(answers.values()) == [SUCCESS] * 6
    for one in connections[1::2]:  # all are let go in the end
        with suppress(ConnectionResetError):
            assert one.recv(1) == b""
    waiting(lambda: sum(turned_away(node).values()) == 60)
    assert set(turned_away(node)) <= {"closed", "silent", "crowded"}


@pytest.mark.slow
def test_60_bare_connections_a_minute_for_3_minutes_hinder_no_sender(receive, make_series, sending):
    node = receive()
    connections, end = [], time.monotonic() + 180
    while time.monotonic() < end:
        connections += bare(node.port, 1)
        if len(connections) % 3 == 0:
            answers = sending(node.port, make_series(f"in minute {len(connections)}"))
            assert list(answers.values()) == [SUCCESS] * 6
        time.sleep(1)
    for one in connections:
        one.close()


def test_of_too_many_bare_connections_the_oldest_is_closed(receive, waiting):
    node = receive(acse_timeout=60.0)
    before = threading.active_count()
    older = bare(node.port, WAITING_PER_PEER // 2)
    waiting(lambda: threading.active_count() >= before + 2 * len(older))  # two a connection
    newer = bare(node.port, WAITING_PER_PEER)
    for one in older:
        with suppress(ConnectionResetError):
            assert one.recv(1) == b""
    waiting(lambda: turned_away(node) == {"crowded": len(older)})
    assert select.select(newer, [], [], 0.2)[0] == []


def test_half_a_request_is_waited_for_no_longer_than_none(receive, waiting):
    node = receive(timeout=60.0, acse_timeout=1.0)
    with bare(node.port, 1)[0] as connection, pytest.raises(ConnectionError):
        for byte in struct.pack(">BBL", 1, 0, 500) + bytes(400):
            connection.sendall(bytes([byte]))  # never silent for long
            time.sleep(0.1)
    waiting(lambda: turned_away(node) == {"silent": 1})


def test_little_space_is_answered_with_out_of_resources(receive, make_series, sending):
    free = shutil.disk_usage("/tmp").free
    node = receive(min_free=str(free * 2))
    assert set(sending(node.port, make_series("c")).values()) == {OUT_OF_RESOURCES}
    assert kept(node) == {}


def test_a_synthetic_instance_is_acknowledged_and_not_kept(receive, make_series, sending, waiting):
    node = receive()
    series = make_series("d")
    for one in series[:3]:
        one.SyntheticData = "YES"
    assert set(sending(node.port, series).values()) == {SUCCESS}
    assert set(kept(node)) == {one.SOPInstanceUID for one in series[3:]}


def test_damaged_instances_are_refused_and_the_rest_kept(receive, make_series, sending):
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


def hostile_bytes():
    yield "noise", bytes(range(256)) * 40
    yield "length of 4 GiB", struct.pack(">BBL", 1, 0, 2**32 - 1) + bytes(1000)
    yield "half a request", struct.pack(">BBL", 1, 0, 500) + bytes(100)
    yield "empty request", struct.pack(">BBL", 1, 0, 0)
    yield "data before a request", struct.pack(">BBLLBB", 4, 0, 6, 2, 1, 3)


@pytest.mark.parametrize("content", [pytest.param(c, id=name) for name, c in hostile_bytes()])
def test_hostile_bytes_end_their_connection_alone(receive, make_series, sending, content):
    node = receive(timeout=4.0, acse_timeout=2.0)
    with socket.create_connection(("127.0.0.1", node.port), timeout=30) as connection:
        connection.sendall(content)
        # Half a request is waited for, but not for ever, and not by others.
        assert set(sending(node.port, make_series("f")[:2]).values()) == {SUCCESS}
        while True:
            try:
                if not connection.recv(4096):
                    break
            except ConnectionResetError:
                break


def test_a_peer_that_closes_in_mid_message_is_let_go(receive):
    node = receive(timeout=60.0)
    with socket.create_connection(("127.0.0.1", node.port), timeout=30) as connection:
        connection.sendall(struct.pack(">BBL", 1, 0, 500) + bytes(100))
        connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            assert connection.recv(4096) == b""


def test_more_bytes_than_an_instance_can_have_end_the_connection(
    receive, make_series, sending, encoded
):
    series = make_series("g")
    node = receive(max_instance=str(2 * len(encoded(series[0]))))
    large = series[0]
    large.Rows = large.Columns = 200
    large.PixelData = bytes(2 * 200 * 200)
    assert sending(node.port, [large]) == {}
    assert set(sending(node.port, series[1:]).values()) == {SUCCESS}  # each below, all above
    assert large.SOPInstanceUID not in kept(node)


def an_instance(size):
    """A request to store so many bytes."""
    request = C_STORE()
    request.MessageID, request.AffectedSOPClassUID, request.Priority = 1, MRImageStorage, 0
    request.AffectedSOPInstanceUID = "1.2.3"
    request.DataSet = BytesIO(bytes(size))
    return request


def all_but_the_end(association, message, request):
    """A message in parts of 16 kB, without the last."""
    message.primitive_to_message(request)
    (context,) = association.accepted_contexts
    return list(message.encode_msg(context.context_id, 16_000))[:-1]


@contextmanager
def unfinished(port, kind, request, address=""):
    """An association in which all of a message but its end is sent."""
    contexts = [(MRImageStorage, ExplicitVRLittleEndian)]
    association = associated(port, contexts, address=address)
    for part in all_but_the_end(association, kind(), request):
        association.dul.send_pdu(part)
    try:
        yield association
    finally:
        association.abort()


@contextmanager
def held_instance(node, size, waiting, address=""):
    """An instance of so many bytes on its way, of which the end is still to come."""
    folder = node.spool.temporary
    before = set(folder.iterdir())

    def come():
        return [
            one for one in set(folder.iterdir()) - before if one.stat().st_size >= size - 20_000
        ]

    with unfinished(node.port, C_STORE_RQ, an_instance(size), address):
        waiting(come)
        (path,) = come()
        yield path


def test_what_would_exceed_the_budget_of_all_is_read_and_not_kept(
    receive, make_series, sending, waiting
):
    node = receive(max_instance="60KiB", max_in_flight="60KiB", min_free="1KiB")
    series = make_series("budget")
    with held_instance(node, 50_000, waiting):
        assert set(sending(node.port, series[:2]).values()) == {SUCCESS}
        large = series[2]
        large.Rows = large.Columns = 150
        large.PixelData = bytes(2 * 150 * 150)
        assert set(sending(node.port, [large, series[3]]).values()) == {OUT_OF_RESOURCES, SUCCESS}
    assert set(kept(node)) == {series[number].SOPInstanceUID for number in (0, 1, 3)}
    assert set(sending(node.port, [large]).values()) == {SUCCESS}


def test_peers_that_stop_within_instances_keep_the_budget_from_no_other(
    receive, make_series, sending, waiting
):
    node = receive(max_instance="64KiB", max_in_flight="90KiB", timeout=60.0)
    large = make_series("others hold it")[0]
    large.Rows = large.Columns = 110
    large.PixelData = bytes(2 * 110 * 110)  # more than what is left, less than each of them holds
    with (
        held_instance(node, 60_000, waiting, "127.0.0.2") as larger,
        held_instance(node, 40_000, waiting, "127.0.0.3") as smaller,
    ):
        assert set(sending(node.port, [large]).values()) == {SUCCESS}
        waiting(lambda: not larger.exists())
        assert smaller.exists()


def test_what_has_come_whole_holds_nothing_of_the_budget(receive, make_series, sending, waiting):
    node = receive(max_instance="60KiB", max_in_flight="60KiB", min_free="1KiB")
    first, second, *_ = make_series("idle")
    for one in (first, second):
        one.Rows = one.Columns = 120
        one.PixelData = bytes(2 * 120 * 120)
    idle = associated(node.port, [(MRImageStorage, first.file_meta.TransferSyntaxUID)])
    assert idle.send_c_store(first).Status == SUCCESS
    assert set(sending(node.port, [second]).values()) == {SUCCESS}
    idle.release()


def test_an_unfinished_instance_is_on_the_disk_and_goes_with_its_sender(receive, waiting):
    node = receive()
    with held_instance(node, 500_000, waiting) as path:
        assert path.exists()
    waiting(lambda: not list(node.spool.temporary.iterdir()))


def test_a_message_that_is_no_instance_may_not_be_large(receive, waiting):
    request = C_FIND()
    request.MessageID, request.AffectedSOPClassUID, request.Priority = 1, MRImageStorage, 0
    request.Identifier = BytesIO(bytes(3 * 2**20))
    with unfinished(receive().port, C_FIND_RQ, request) as association:
        waiting(lambda: association.is_aborted, seconds=40)  # before its own time-out of 60 s


def test_two_senders_of_one_series_lose_nothing(receive, make_series, sending):
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


@pytest.fixture
def certificate(tmp_path):
    """A certificate that this machine vouches for itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    request += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    request += ["-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run(request, check=True, capture_output=True)
    return tuple(map(str, paths))


def client(certificate, *, shows=False):
    context = ssl.create_default_context(cafile=certificate[0])
    if shows:
        context.load_cert_chain(*certificate)
    return context, "127.0.0.1"


def test_tls_is_spoken_and_a_client_without_the_certificate_asked_for_is_not_heard(
    receive, make_series, sending, certificate
):
    node = receive(tls_certificate=certificate[0], tls_key=certificate[1], tls_ca=certificate[0])
    series = make_series("i")
    assert sending(node.port, series) == {}
    assert sending(node.port, series, tls=client(certificate)) == {}
    shown = sending(node.port, series, tls=client(certificate, shows=True))
    assert set(shown.values()) == {SUCCESS}


def test_a_silent_client_holds_no_other_up_with_tls(receive, make_series, sending, certificate):
    node = receive(tls_certificate=certificate[0], tls_key=certificate[1])
    with socket.create_connection(("127.0.0.1", node.port)):
        series = make_series("j")
        assert len(sending(node.port, series, tls=client(certificate))) == len(series)


def test_a_slow_sender_within_an_instance_is_not_silent(receive, make_series, waiting):
    node = receive()
    first = make_series("k")[0]
    association = associated(node.port, [(MRImageStorage, first.file_meta.TransferSyntaxUID)])
    assert association.send_c_store(first).Status == SUCCESS
    (job,) = node.spool.jobs("incoming")
    for part in all_but_the_end(association, C_STORE_RQ(), an_instance(50_000)):
        heard = node.intake.heard(job.name)
        association.dul.send_pdu(part)
        waiting(lambda heard=heard: node.intake.heard(job.name) > heard)
    association.abort()


def test_file_meta_names_the_transfer_syntax(receive, make_series, sending):
    node = receive()
    series = make_series("l")[:1]
    sending(node.port, series)
    (path,) = node.spool.root.glob("incoming/*/source/*.dcm")
    meta = pydicom.dcmread(BytesIO(path.read_bytes())).file_meta
    assert meta.TransferSyntaxUID == series[0].file_meta.TransferSyntaxUID
    assert meta.TransferSyntaxUID in (ExplicitVRLittleEndian, *ALL_TRANSFER_SYNTAXES)
