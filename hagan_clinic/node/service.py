"""The node: receiver, collector, worker, forwarder and retention at work on one spool."""

import logging
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hagan_clinic import __version__
from hagan_clinic.errors import InputError
from hagan_clinic.node.alerts import Alerts
from hagan_clinic.node.collector import Collector
from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.delivery import Sender
from hagan_clinic.node.destination import DimseDestination
from hagan_clinic.node.dimse import DimseSender
from hagan_clinic.node.endings import Endings
from hagan_clinic.node.forwarder import Forwarder
from hagan_clinic.node.intake import Intake
from hagan_clinic.node.logs import log, problem
from hagan_clinic.node.metrics import Metrics
from hagan_clinic.node.monitor import monitored
from hagan_clinic.node.receiver import receiving
from hagan_clinic.node.recovery import recover
from hagan_clinic.node.retention import Retention
from hagan_clinic.node.spool import Spool
from hagan_clinic.node.standing import counts, incomplete, partly_sent, strays
from hagan_clinic.node.stow import WebSender
from hagan_clinic.node.tls import client_context
from hagan_clinic.node.translation import SeriesTranslator
from hagan_clinic.node.watch import Watch
from hagan_clinic.node.worker import Worker


def serve(config: NodeConfig, translator: SeriesTranslator, stop: threading.Event) -> None:
    """Run the node until `stop` is set; whatever it was at goes on at the next start.

    Raises:
        InputError: A setting cannot be used.
        OutputError: The spool or a port is taken or cannot be had.
    """
    if not config.spool:
        raise InputError("no spool given; expected a folder: --spool FOLDER")
    if not config.forward:
        raise InputError("no archive given; expected --forward AET@HOST:PORT or https://…")
    config.check_callers()
    spool = Spool(Path(config.spool))
    with ExitStack() as stack:
        stack.enter_context(spool.alone())
        again = recover(spool)
        if others := strays(spool):
            log("strays", level=logging.WARNING, files=others)
        metrics = Metrics(spool)
        endings = Endings(spool, metrics)
        intake = Intake(spool, metrics, config.min_free_bytes)
        forwarder = Forwarder(spool, _sender(config), config, metrics)
        collector = Collector(spool, intake, config, endings, translator.missing)
        loops = [
            _Loop("collector", collector, 0.2, stop),
            _Loop("worker", Worker(spool, translator, config, metrics), 0.2, stop),
            _Loop("forwarder", forwarder, 0.2, stop),
            _Loop("retention", Retention(spool, config, endings), 60.0, stop),
        ]
        if config.watch:
            watch = Watch(_folder(config.watch), intake, config.silence, config.max_instance_bytes)
            loops.append(_Loop("watch", watch, 1.0, stop))
        health = _Health(spool, loops, config)
        if config.alert_url or config.alert_command:
            loops.append(_Loop("alerts", Alerts(spool, health, config, metrics), 1.0, stop))
        if config.http_port:
            stack.enter_context(monitored(config.http_port, metrics.registry, health))
        port = stack.enter_context(receiving(config, intake, forwarder.report))
        for loop in loops:
            loop.start()
        log("listening", version=__version__, aet=config.aet, port=port, begun_again=again)
        stop.wait()
        log("stopping")


@dataclass(eq=False)
class _Loop:
    """Runs a part again and again; what fails in it is logged, and it goes on.

    Attributes:
        fault: Kind of the exception that its last turn ended with, "" for none.
    """

    name: str
    part: Callable[[], None]
    interval: float
    stop: threading.Event
    thread: threading.Thread | None = None
    fault: str = ""

    def start(self) -> None:
        # A daemon: stopping does not wait for a series that is being translated.
        self.thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.stop.wait(self.interval):
            try:
                self.part()
                self.fault = ""
            except Exception as error:
                facts = problem(error)
                self.fault = facts["problem"]
                log("fault", level=logging.ERROR, part=self.name, **facts)
                self.stop.wait(1.0)


@dataclass(frozen=True)
class _Health:
    """Whether every part is at work, every series can move, and there is room."""

    spool: Spool
    loops: list[_Loop]
    config: NodeConfig

    def __call__(self) -> Mapping[str, Any]:
        dead = [one.name for one in self.loops if one.thread and not one.thread.is_alive()]
        faults = {one.name: one.fault for one in self.loops if one.fault}
        free = shutil.disk_usage(self.spool.root).free
        room = free >= self.config.min_free_bytes
        stuck = self.spool.stuck()
        return {
            "ok": not dead and not faults and not stuck and room,
            "version": __version__,
            "dead": dead,
            "faults": faults,
            "free_bytes": free,
            "room": room,
            "stuck": stuck,
            "partly_sent": partly_sent(self.spool),
            "incomplete": incomplete(self.spool),
            "series": dict(counts(self.spool)),
        }


def _sender(config: NodeConfig) -> Sender:
    destination = config.destination
    if isinstance(destination, DimseDestination):
        tls = client_context(config) if destination.tls else None
        return DimseSender(config.aet, destination, config.timeout, tls)
    return WebSender(destination, config.timeout, client_context(config), config.forward_token_file)


def _folder(path: str) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"watch is {path!r}, which is not a folder; make it first")
    return folder
