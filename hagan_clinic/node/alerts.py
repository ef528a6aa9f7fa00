"""Alerts: someone hears when a series fails or the node does, by a webhook or a command.

They hold counts, states and the hashes that name series in the spool: nothing of a patient.
"""

import json
import logging
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from hagan_clinic import __version__
from hagan_clinic.imageio.atomic import write_text
from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.incomplete import waits_in_vain
from hagan_clinic.node.job import DamagedError, Job
from hagan_clinic.node.logs import log
from hagan_clinic.node.metrics import Metrics
from hagan_clinic.node.spool import Spool

_LISTED = 20
_SECONDS = 10.0  # for a webhook to answer, and for a command to end


class Alerts:
    """A part of the node with a thread of its own, so that it holds up no other.

    The first failure is reported at once; later ones of `alert_every` seconds, together.
    What was reported is kept in the spool, and not reported again after a restart.

    Args:
        spool: Its failed series are reported, and those that are incomplete for long.
        health: Its facts are; see `monitor.Health`.
        config: `alert_url`, `alert_command` and `alert_every`.
        metrics: Counts them.
    """

    def __init__(
        self,
        spool: Spool,
        health: Callable[[], Mapping[str, Any]],
        config: NodeConfig,
        metrics: Metrics,
    ) -> None:
        self._spool = spool
        self._health = health
        self._config = config
        self._metrics = metrics
        self._file = spool.root / "alerted.json"
        self._reported = self._read()
        self._reported_problems: set[str] = set()
        self._due = 0.0

    def __call__(self) -> None:
        """Tell what is new, unless the last alert was a short while ago."""
        if time.monotonic() < self._due:
            return
        failed = [
            *self._spool.jobs("failed"),
            *filter(waits_in_vain, self._spool.jobs("incoming")),
        ]
        problems = set(_problems(self._health()))
        ends = {_end(job): job for job in failed}
        self._reported &= ends.keys()
        self._reported_problems &= problems
        news = [job for end, job in ends.items() if end not in self._reported]
        if not news and problems <= self._reported_problems:
            return
        self._due = time.monotonic() + self._config.alert_every
        if self._deliver(self._body(news, len(failed), sorted(problems - self._reported_problems))):
            self._reported |= ends.keys()
            self._reported_problems = problems
            write_text(json.dumps(sorted(self._reported)), self._file)

    def _body(self, news: list[Job], failed: int, problems: list[str]) -> dict[str, Any]:
        outcomes = [_outcome(job) for job in news]
        counted = ", ".join(f"{count} {outcome}" for outcome, count in Counter(outcomes).items())
        failures = [f"{len(news)} series failed ({counted})"] if news else []
        return {
            "text": f"{self._config.aet}: {'; '.join([*failures, *problems])}",
            "node": self._config.aet,
            "version": __version__,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "problems": problems,
            "failed_now": len(news),
            "failed_in_all": failed,
            "series": [
                {"series": job.name, "outcome": outcome}
                for job, outcome in list(zip(news, outcomes, strict=True))[:_LISTED]
            ],
        }

    def _deliver(self, body: Mapping[str, Any]) -> bool:
        """Whether everyone has been reached; if not, all are tried again later."""
        failures = []
        if self._config.alert_url:
            failures.append(_post(self._config.alert_url, body))
        if self._config.alert_command:
            failures.append(_run(self._config.alert_command, body))
        why = "; ".join(filter(None, failures))
        self._metrics.alerts.labels("failed" if why else "sent").inc()
        if why:
            wait = self._config.alert_every
            log("alert not delivered", level=logging.WARNING, why=why, retry_in=wait)
        return not why

    def _read(self) -> set[str]:
        try:
            return set(map(str, json.loads(self._file.read_text("utf-8"))))
        except (OSError, ValueError, TypeError):
            return set()


def _problems(health: Mapping[str, Any]) -> list[str]:
    """What is wrong with the node, each in a few words that stay the same while it lasts."""
    return [
        *(f"{part} is dead" for part in health["dead"]),
        *(f"{part} meets {kind}" for part, kind in health["faults"].items()),
        *(["series are stuck"] if health["stuck"] else []),
        *(["the archive has a part of a result"] if health["partly_sent"] else []),
        *([] if health["room"] else ["the disk is full"]),
    ]


def _end(job: Job) -> str:
    """Names one failure of a series: after a retry it may fail again."""
    try:
        return f"{job.name} {job.record().get('ended', '')}"
    except DamagedError:
        return job.name


def _outcome(job: Job) -> str:
    try:
        return str(job.record().get("outcome", "failed"))
    except DamagedError:
        return "failed"


def _post(url: str, body: Mapping[str, Any]) -> str:
    """Why the webhook was not reached; its address may hold a secret and is not printed."""
    try:
        response = httpx.post(url, json=body, timeout=_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return f"webhook: {type(error).__name__}"
    return "" if response.is_success else f"webhook: HTTP {response.status_code}"


def _run(command: tuple[str, ...], body: Mapping[str, Any]) -> str:
    """Why the command did not do it; it gets the JSON on standard input."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        return f"command: {error.strerror}"
    try:
        process.communicate(json.dumps(body).encode(), timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"command: not done after {_SECONDS:g} s"
    return f"command: exit code {process.returncode}" if process.returncode else ""
