import select
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from contextlib import suppress

import pytest
from pynetdicom.sop_class import (
    Verification,
)

from hagan_clinic.node.associations import WAITING_PER_PEER
from hagan_clinic.node.receiver import SUCCESS


def test_more_associations_than_allowed_are_rejected(turned_away, associated, receive):
    node = receive(max_associations=2)
    held = [associated(node.port, [(Verification, None)]) for _ in range(3)]
    assert [one.is_established for one in held] == [True, True, False]
    assert held[2].is_rejected
    assert turned_away(node) == {"limit": 1}
    for one in held[:2]:
        one.release()
    assert associated(node.port, [(Verification, None)]).is_established


def test_more_associations_of_one_address_than_allowed_are_rejected(
    turned_away, associated, receive
):
    node = receive(max_associations_per_peer=1)
    held = [associated(node.port, [(Verification, None)]) for _ in range(2)]
    assert [one.is_established for one in held] == [True, False]
    assert turned_away(node) == {"peer_limit": 1}
    held[0].release()


def test_bare_connections_take_no_slot_from_those_who_send(
    turned_away, bare, receive, make_series, sending, waiting
):
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
def test_60_bare_connections_a_minute_for_3_minutes_hinder_no_sender(
    bare, receive, make_series, sending
):
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


def test_of_too_many_bare_connections_the_oldest_is_closed(turned_away, bare, receive, waiting):
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


def test_half_a_request_is_waited_for_no_longer_than_none(turned_away, bare, receive, waiting):
    node = receive(timeout=60.0, acse_timeout=1.0)
    with bare(node.port, 1)[0] as connection, pytest.raises(ConnectionError):
        for byte in struct.pack(">BBL", 1, 0, 500) + bytes(400):
            connection.sendall(bytes([byte]))  # never silent for long
            time.sleep(0.1)
    waiting(lambda: turned_away(node) == {"silent": 1})


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
