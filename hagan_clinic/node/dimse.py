"""Sending to an archive by DIMSE: C-STORE, and the request for storage commitment."""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import Association, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from hagan_clinic.node.delivery import CutOffError, RefusedError, Taken, UnreachableError
from hagan_clinic.node.destination import DimseDestination
from hagan_clinic.node.receiver import MAX_PDU, application_entity, set_up_connection

_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_REQUEST_COMMITMENT = 1  # action type (PS3.4, J.3.2)


@dataclass(frozen=True)
class InstanceReference:
    """An instance that the archive shall commit itself to."""

    sop_class: str
    sop_instance: str


class DimseSender:
    """An archive that takes C-STORE.

    Args:
        aet: Of this node.
        destination: The archive.
        timeout: Seconds for each answer.
        tls: Of connections, where `destination.tls`.
    """

    def __init__(
        self, aet: str, destination: DimseDestination, timeout: float, tls: ssl.SSLContext | None
    ) -> None:
        self._destination = destination
        self._tls = tls
        self._timeout = timeout
        self._ae = application_entity(aet)
        self._ae.maximum_pdu_size = MAX_PDU
        self._ae.network_timeout = self._ae.acse_timeout = self._ae.dimse_timeout = timeout
        self._ae.connection_timeout = timeout

    def store(self, paths: Sequence[Path], taken: Taken) -> None:
        """Send the instances in their order, telling `taken` of each that the archive has.

        Args:
            paths: All of one SOP class.
            taken: See `Sender`.

        Raises:
            UnreachableError: The archive cannot be reached; try later.
            CutOffError: It ended the association, did not answer in time, or is out of resources,
                as some say of an instance that they cannot take.
            RefusedError: It does not want an instance.
        """
        with self._associated(reference_of(paths[0]).sop_class, _SYNTAXES) as association:
            for path in paths:
                try:
                    status = association.send_c_store(dcmread(path)).get("Status")
                except RuntimeError:  # the association has ended
                    status = None
                if status is None:
                    raise CutOffError("the archive ended the association")
                if status >> 8 == 0xA7:
                    raise CutOffError("the archive is out of resources")
                if status != 0 and status >> 12 != 0xB:  # warnings: stored all the same
                    raise RefusedError(f"the archive answered status 0x{status:04X}")
                taken(path)

    def ask(self, transaction: str, references: Sequence[InstanceReference]) -> bool:
        """Ask the archive to commit itself; it reports to this node's receiver.

        Returns:
            Whether it offers that.

        Raises:
            UnreachableError: It cannot be reached.
            CutOffError: It ended the association, or did not answer in time.
        """
        request = Dataset()
        request.TransactionUID = transaction
        request.ReferencedSOPSequence = [_item(reference) for reference in references]
        try:
            with self._associated(StorageCommitmentPushModel, _SYNTAXES) as association:
                status, _ = association.send_n_action(
                    request,
                    _REQUEST_COMMITMENT,
                    StorageCommitmentPushModel,
                    StorageCommitmentPushModelInstance,
                )
        except RefusedError:
            return False
        if "Status" not in status:
            raise CutOffError("the archive ended the association")
        return bool(status.Status == 0)

    @contextmanager
    def _associated(self, sop_class: str, syntaxes: list[UID]) -> Iterator[Any]:
        to = self._destination
        self._ae.requested_contexts = []
        self._ae.add_requested_context(sop_class, syntaxes)
        association: Association = self._ae.associate(
            to.host,
            to.port,
            ae_title=to.aet,
            tls_args=(self._tls, to.host) if self._tls else None,
            evt_handlers=[(evt.EVT_CONN_OPEN, set_up_connection, [self._timeout])],
        )
        if not association.is_established:
            # Where no context is accepted, it is this side that ends the association.
            if association.rejected_contexts:
                raise RefusedError("the archive does not take this kind of object")
            if association.is_rejected:
                raise UnreachableError("the archive rejects the association: are the titles known?")
            raise UnreachableError("the archive cannot be reached")
        try:
            yield association
        except BaseException:
            association.abort()
            raise
        association.release()


def _item(reference: InstanceReference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class
    item.ReferencedSOPInstanceUID = reference.sop_instance
    return item


def reference_of(path: Path) -> InstanceReference:
    """What a file of the result refers to itself as."""
    header = dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"], stop_before_pixels=True)
    return InstanceReference(str(header.SOPClassUID), str(header.SOPInstanceUID))
