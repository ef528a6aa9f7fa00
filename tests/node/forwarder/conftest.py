"""Results that wait to be sent, and the forwarder of a spool."""

import pytest

from hagan_clinic.node.arrivals import complete
from hagan_clinic.node.audit import folder_sha256
from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.destination import DimseDestination
from hagan_clinic.node.dimse import DimseSender
from hagan_clinic.node.forwarder import Forwarder
from hagan_clinic.node.metrics import Metrics


@pytest.fixture
def outbox(store):
    """A function that gives a series as a result that waits to be sent."""

    def waits(spool, series):
        for one in series:
            name, _ = store(spool, series[0].SeriesInstanceUID, one.SOPInstanceUID, b"source")
        job = spool.take(complete(spool, name))
        job.result.mkdir()
        for number, one in enumerate(series):
            one.save_as(job.result / f"{number:04}.dcm", enforce_file_format=True)
        return spool.move(job, "outbox", result_sha256=folder_sha256(job.result))

    return waits


@pytest.fixture
def forwarder():
    """A function that makes the forwarder of a spool to a port of this machine."""

    def make(spool, port, sender=None, **settings):
        settings = {"retry_first": 0.01, "retry_longest": 0.01, "commitment": False, **settings}
        config = NodeConfig(**settings)
        sender = sender or DimseSender(
            "HAGAN", DimseDestination("ARCHIVE", "127.0.0.1", port), 60, None
        )
        return Forwarder(spool, sender, config, Metrics(spool))

    return make


class Committing(DimseSender):
    """Stores nothing, and offers commitment."""

    def __init__(self, offers=True):
        self.offers, self.stored, self.asked = offers, [], []

    def store(self, paths, taken):
        for path in paths:
            self.stored.append(path.name)
            taken(path)

    def ask(self, transaction, references):
        self.asked.append((transaction, references))
        return self.offers


@pytest.fixture
def committing():
    """The class of senders that store nothing and offer commitment."""
    return Committing
