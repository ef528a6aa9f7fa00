"""The service that scanners and archives send to: C-STORE, C-ECHO, storage commitment's reports.

An instance is acknowledged only when the spool has made it durable.
"""

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pydicom import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from hagan_clinic.errors import OutputError
from hagan_clinic.imageio.dicom.headers import MR_STORAGE
from hagan_clinic.imageio.dicom.uids import fixed_uid
from hagan_clinic.node.associations import Associations
from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.destination import DimseDestination
from hagan_clinic.node.inflow import Inflow, OversizedError, is_dropped
from hagan_clinic.node.intake import Intake, IntakeVerdict
from hagan_clinic.node.logs import log, problem
from hagan_clinic.node.tls import server_context

MAX_PDU = 128 * 2**10
"""Announced to peers; a PDU may be a little larger, one many times as large is hostile."""

_HOSTILE_PDU = 16 * MAX_PDU
_GRACE = 0.5  # seconds
_NO_LIMIT = 10**6  # of pynetdicom, which counts connections that have not asked for anything

# PS3.4, table B.2-1.
SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000
PROCESSING_FAILURE = 0x0110

_STATUS = {
    IntakeVerdict.STORED: SUCCESS,
    IntakeVerdict.DUPLICATE: SUCCESS,
    IntakeVerdict.SYNTHETIC: SUCCESS,
    IntakeVerdict.REFUSED: CANNOT_UNDERSTAND,
    IntakeVerdict.NO_SPACE: OUT_OF_RESOURCES,
}

Report = Callable[[int, Dataset], None]
"""Called with the event type and the event information of a storage commitment."""


@contextmanager
def receiving(config: NodeConfig, intake: Intake, report: Report) -> Iterator[int]:
    """Receive meanwhile.

    Yields:
        The port; port 0 lets the system choose.

    Raises:
        OutputError: The port cannot be had.
        InputError: The certificates cannot be used.
    """
    ae = application_entity(config.aet)
    ae.maximum_pdu_size = MAX_PDU
    ae.maximum_associations = _NO_LIMIT
    ae.network_timeout = ae.dimse_timeout = config.timeout
    # A little more than `_guard` allows half a request: pynetdicom tells of no connection whose
    # thread gives it up while another is still reading from it.
    ae.acse_timeout = config.acse_timeout + _GRACE
    ae.require_called_aet = True
    ae.require_calling_aet = _callers(config)
    ae.add_supported_context(Verification)
    for storage in MR_STORAGE:
        ae.add_supported_context(storage, ALL_TRANSFER_SYNTAXES)
    # The archive opens an association as the SCP of commitments (PS3.4, J.3.3).
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    associations = Associations(
        config.max_associations,
        config.max_associations_per_peer,
        config.acse_timeout,
        lambda why: intake.metrics.turned_away.labels(why).inc(),
    )
    inflow = Inflow(intake.spool.temporary, config)
    handlers = [
        (evt.EVT_CONN_OPEN, associations.opened),
        (evt.EVT_CONN_OPEN, _guard, [config, inflow]),
        (evt.EVT_REQUESTED, associations.asked),
        (evt.EVT_REJECTED, associations.rejected),
        (evt.EVT_CONN_CLOSE, associations.closed),
        (evt.EVT_CONN_CLOSE, inflow.ended),
        (evt.EVT_C_STORE, _store, [intake, inflow]),
        (evt.EVT_N_EVENT_REPORT, _committed, [report]),
        (evt.EVT_PDU_RECV, _hear, [intake]),
    ]
    try:
        server = ae.start_server(
            (config.host, config.port),
            block=False,
            evt_handlers=handlers,
            ssl_context=server_context(config),
        )
    except OSError as error:
        raise OutputError(
            f"cannot listen on {config.host}:{config.port}: {error.strerror}; choose another port"
        ) from error
    with inflow.to_disk():
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()


def application_entity(aet: str) -> AE:
    """An application entity that says whose implementation it is."""
    ae = AE(aet)
    ae.implementation_class_uid = fixed_uid("implementation class")
    ae.implementation_version_name = "HAGAN_CLINIC"
    return ae


def set_up_connection(event: evt.Event, timeout: float) -> None:
    """Send small packets at once: an acknowledgement is one, and the peer waits for it.

    Args:
        event: The connection is open.
        timeout: Seconds that the peer may be silent in mid-message.
    """
    connection = event.assoc.dul.socket.socket
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(timeout)


def _callers(config: NodeConfig) -> list[str]:
    """Who may call: the archive too, which reports on commitments."""
    callers = list(config.callers)
    if callers and config.forward and isinstance(config.destination, DimseDestination):
        callers.append(config.destination.aet)
    return callers


def _guard(event: evt.Event, config: NodeConfig, inflow: Inflow) -> None:
    """Give a connection up that stops in mid-message, or sends more than an instance can be.

    A request for an association must be there whole within its own, shorter time. It also reads
    all that has come at once, where pynetdicom takes 4096 bytes a call.
    """
    set_up_connection(event, config.timeout)
    association, connection = event.assoc, event.assoc.dul.socket

    def recv(size: int) -> bytearray:
        try:
            if size > _HOSTILE_PDU:
                raise OversizedError("more than a PDU can be")
            inflow.arriving(association, size)
        except OversizedError:
            log("oversized", level=logging.WARNING, address=association.requestor.address)
            raise
        content = bytearray()
        while len(content) < size:
            if not association.has_asked:
                left = association.opened + config.acse_timeout - time.monotonic()
                connection.socket.settimeout(max(left, 0.001))
            part = connection.socket.recv(size - len(content))
            if not part:  # the peer has closed the connection
                break
            content += part
        connection.socket.settimeout(config.timeout)
        return content

    connection.recv = recv


def _store(event: evt.Event, intake: Intake, inflow: Inflow) -> int:
    request = event.request
    try:
        if request._dataset_path is None:
            verdict, name = IntakeVerdict.REFUSED, ""
        elif is_dropped(request._dataset_file):
            verdict, name = intake.turn_down()
        else:
            verdict, name = intake.take(request._dataset_path)
    except Exception as error:
        log("not kept", level=logging.ERROR, **problem(error))
        return PROCESSING_FAILURE
    finally:
        inflow.dealt_with(event.assoc)
    event.assoc.series = name
    if name:
        intake.hold(name, event.assoc)
    caller = event.assoc.requestor.ae_title
    if verdict in (IntakeVerdict.REFUSED, IntakeVerdict.NO_SPACE):
        log("not kept", level=logging.WARNING, why=verdict.value, caller=caller)
    elif verdict is IntakeVerdict.SYNTHETIC:
        log("ignored", outcome=verdict.value, caller=caller)
    return _STATUS[verdict]


def _hear(event: evt.Event, intake: Intake) -> None:
    """While a slow sender is at an instance, the series it sends is not silent."""
    name = getattr(event.assoc, "series", "")
    if name and event.pdu.pdu_type == 0x04:
        intake.hear(name)


def _committed(event: evt.Event, report: Report) -> tuple[int, Any]:
    try:
        report(event.event_type, event.event_information)
    except Exception as error:
        log("report not understood", level=logging.WARNING, **problem(error))
        return PROCESSING_FAILURE, None
    return SUCCESS, None
