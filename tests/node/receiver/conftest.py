"""What a receiver kept and turned away, and associations with it."""

import socket

import pydicom
import pytest
from pynetdicom import AE


@pytest.fixture
def kept():
    """A function that reads from a node's spool what it holds."""

    def found(node):
        files = node.spool.root.glob("*/*/source/*.dcm")
        return {str(one.SOPInstanceUID): one for one in map(pydicom.dcmread, files)}

    return found


@pytest.fixture
def turned_away():
    """A function that tells how many connections came to nothing, by why."""

    def counted(node):
        (counter,) = node.metrics.turned_away.collect()
        totals = [one for one in counter.samples if one.name.endswith("_total")]
        return {one.labels["why"]: one.value for one in totals}

    return counted


@pytest.fixture
def associated():
    """A function that asks for an association."""

    def asked(port, contexts, *, aet="HAGAN", caller="SCANNER", address=""):
        ae = AE(caller)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = 60
        for sop_class, syntax in contexts:
            ae.add_requested_context(sop_class, syntax)
        return ae.associate("127.0.0.1", port, ae_title=aet, bind_address=(address, 0))

    return asked


@pytest.fixture
def bare():
    """A function that opens connections on which nothing is said."""

    def opened(port, count):
        return [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(count)]

    return opened
