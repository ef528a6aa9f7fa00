"""What the node counts, for Prometheus."""

import shutil
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hagan_clinic.imageio.dicom.completeness import BY_NUMBER, CUT, kind_of
from hagan_clinic.node.spool import STATES, Spool
from hagan_clinic.node.standing import counts, incomplete, partly_sent

_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600)


class Metrics:
    """Counters of one node, in a registry of their own."""

    def __init__(self, spool: Spool) -> None:
        self.registry = CollectorRegistry()
        self.received = Counter(
            "hagan_instances_received",
            "Instances by what became of them: stored, duplicate, synthetic, refused, no_space",
            ["outcome"],
            registry=self.registry,
        )
        self.turned_away = Counter(
            "hagan_connections_turned_away",
            "Connections that came to nothing: silent, closed, crowded, limit, peer_limit, title",
            ["why"],
            registry=self.registry,
        )
        self.series = Counter(
            "hagan_series",
            "Series by outcome: translated, warned, refused, failed, skipped, sent, rejected",
            ["outcome"],
            registry=self.registry,
        )
        self.sent = Counter(
            "hagan_instances_sent", "Instances that the archive took", registry=self.registry
        )
        self.send_failures = Counter(
            "hagan_send_failures",
            "Deliveries cut short: unreachable, cut_off, refused",
            ["kind"],
            registry=self.registry,
        )
        self.alerts = Counter(
            "hagan_alerts", "Alerts by outcome: sent, failed", ["outcome"], registry=self.registry
        )
        self.rejection_notes = Counter(
            "hagan_rejection_notes",
            "Notes that reject an earlier or incomplete result: taken, refused",
            ["outcome"],
            registry=self.registry,
        )
        self.translation = Histogram(
            "hagan_translation_seconds",
            "Time to translate a series",
            buckets=_SECONDS,
            registry=self.registry,
        )
        held = Gauge("hagan_spool_series", "Series in the spool", ["state"], registry=self.registry)
        for state in STATES:
            held.labels(state).set_function(partial(_count, spool, state))
        held_back = Gauge(
            "hagan_spool_incomplete_series",
            "Incoming series that are held back because they are clearly incomplete: number, cut",
            ["why"],
            registry=self.registry,
        )
        for why in (BY_NUMBER, CUT):
            held_back.labels(why).set_function(partial(_incomplete, spool, why))
        partly = Gauge(
            "hagan_spool_partly_sent_series",
            "Series of which the archive took a part and then refused or failed",
            registry=self.registry,
        )
        partly.set_function(partial(partly_sent, spool))
        stuck = Gauge(
            "hagan_spool_stuck_series",
            "Series that can neither continue nor be set aside",
            registry=self.registry,
        )
        stuck.set_function(spool.stuck)
        free = Gauge("hagan_spool_free_bytes", "Free space of its disk", registry=self.registry)
        free.set_function(lambda: shutil.disk_usage(spool.root).free)


def _incomplete(spool: Spool, why: str) -> int:
    return sum(kind_of(reason) == why for reason in incomplete(spool).values())


def _count(spool: Spool, state: str) -> int:
    return counts(spool)[state]
