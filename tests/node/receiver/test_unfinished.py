from contextlib import contextmanager
from io import BytesIO

import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.dimse_messages import C_FIND_RQ, C_STORE_RQ
from pynetdicom.dimse_primitives import C_FIND, C_STORE
from pynetdicom.sop_class import (
    MRImageStorage,
)

from hagan_clinic.node.receiver import OUT_OF_RESOURCES, SUCCESS


def test_more_bytes_than_an_instance_can_have_end_the_connection(
    kept, receive, make_series, sending, encoded
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


@pytest.fixture
def unfinished(associated):
    """A context: an association in which all of a message but its end is sent."""

    @contextmanager
    def begun(port, kind, request, address=""):
        contexts = [(MRImageStorage, ExplicitVRLittleEndian)]
        association = associated(port, contexts, address=address)
        for part in all_but_the_end(association, kind(), request):
            association.dul.send_pdu(part)
        try:
            yield association
        finally:
            association.abort()

    return begun


@pytest.fixture
def held_instance(unfinished, waiting):
    """A context: an instance of so many bytes on its way, of which the end is still to come."""

    @contextmanager
    def held(node, size, address=""):
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

    return held


def test_what_would_exceed_the_budget_of_all_is_read_and_not_kept(
    kept, held_instance, receive, make_series, sending, waiting
):
    node = receive(max_instance="60KiB", max_in_flight="60KiB", min_free="1KiB")
    series = make_series("budget")
    with held_instance(node, 50_000):
        assert set(sending(node.port, series[:2]).values()) == {SUCCESS}
        large = series[2]
        large.Rows = large.Columns = 150
        large.PixelData = bytes(2 * 150 * 150)
        assert set(sending(node.port, [large, series[3]]).values()) == {OUT_OF_RESOURCES, SUCCESS}
    assert set(kept(node)) == {series[number].SOPInstanceUID for number in (0, 1, 3)}
    assert set(sending(node.port, [large]).values()) == {SUCCESS}


def test_peers_that_stop_within_instances_keep_the_budget_from_no_other(
    held_instance, receive, make_series, sending, waiting
):
    node = receive(max_instance="64KiB", max_in_flight="90KiB", timeout=60.0)
    large = make_series("others hold it")[0]
    large.Rows = large.Columns = 110
    large.PixelData = bytes(2 * 110 * 110)  # more than what is left, less than each of them holds
    with (
        held_instance(node, 60_000, "127.0.0.2") as larger,
        held_instance(node, 40_000, "127.0.0.3") as smaller,
    ):
        assert set(sending(node.port, [large]).values()) == {SUCCESS}
        waiting(lambda: not larger.exists())
        assert smaller.exists()


def test_what_has_come_whole_holds_nothing_of_the_budget(
    associated, receive, make_series, sending, waiting
):
    node = receive(max_instance="60KiB", max_in_flight="60KiB", min_free="1KiB")
    first, second, *_ = make_series("idle")
    for one in (first, second):
        one.Rows = one.Columns = 120
        one.PixelData = bytes(2 * 120 * 120)
    idle = associated(node.port, [(MRImageStorage, first.file_meta.TransferSyntaxUID)])
    assert idle.send_c_store(first).Status == SUCCESS
    assert set(sending(node.port, [second]).values()) == {SUCCESS}
    idle.release()


def test_an_unfinished_instance_is_on_the_disk_and_goes_with_its_sender(
    held_instance, receive, waiting
):
    node = receive()
    with held_instance(node, 500_000) as path:
        assert path.exists()
    waiting(lambda: not list(node.spool.temporary.iterdir()))


def test_a_message_that_is_no_instance_may_not_be_large(unfinished, receive, waiting):
    request = C_FIND()
    request.MessageID, request.AffectedSOPClassUID, request.Priority = 1, MRImageStorage, 0
    request.Identifier = BytesIO(bytes(3 * 2**20))
    with unfinished(receive().port, C_FIND_RQ, request) as association:
        waiting(lambda: association.is_aborted, seconds=40)  # before its own time-out of 60 s


def test_a_slow_sender_within_an_instance_is_not_silent(associated, receive, make_series, waiting):
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
