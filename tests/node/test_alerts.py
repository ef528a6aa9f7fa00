import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from hagan_clinic.node import alerts
from hagan_clinic.node.alerts import Alerts
from hagan_clinic.node.arrivals import complete
from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.incomplete import INCOMPLETE
from hagan_clinic.node.metrics import Metrics

WELL = {"dead": [], "faults": {}, "stuck": 0, "partly_sent": 0, "room": True}
WRITES = "import pathlib, sys; pathlib.Path(sys.argv[1]).open('ab').write(sys.stdin.buffer.read())"


class Webhook:
    """A server of webhooks that keeps what it is told."""

    def __init__(self):
        self.told = []
        self.status = 204

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler):
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                self.told.append(json.loads(body))
                handler.send_response(self.status)
                handler.end_headers()

            def log_message(handler, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def webhook():
    one = Webhook()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def fail(store):
    """A function that lets a series fail."""

    def failed(spool, uid, outcome="refused"):
        name, _ = store(spool, uid, uid, b"instance")
        job = complete(spool, name)
        return spool.move(job, "failed", outcome=outcome, reason="of Doe^Jane")

    return failed


def part(spool, health=WELL, **settings):
    config = NodeConfig(**{"alert_every": 0.001, **settings})
    metrics = Metrics(spool)
    return Alerts(spool, lambda: health, config, metrics), metrics


def test_a_series_whose_rest_does_not_come_is_told_after_a_while(
    spool, webhook, monkeypatch, store
):
    look, _ = part(spool, alert_url=webhook.url)
    name, _ = store(spool, "1.2.3", "1.2.3", b"instance")
    spool.note(spool.find(name), outcome=INCOMPLETE, reason="1 of 2")
    look()
    assert webhook.told == []
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1000)
    look()
    (body,) = webhook.told
    assert body["series"] == [{"series": name, "outcome": "incomplete"}]


def sent(metrics, outcome):
    return metrics.registry.get_sample_value("hagan_alerts_total", {"outcome": outcome})


def test_a_webhook_is_told_once_of_each_failure_and_nothing_of_the_patient(spool, webhook, fail):
    look, metrics = part(spool, alert_url=webhook.url)
    look()
    assert webhook.told == []
    job = fail(spool, "1.2.3")
    look()
    time.sleep(0.01)
    look()
    (body,) = webhook.told
    assert body["text"] == "HAGAN: 1 series failed (1 refused)"
    assert body["series"] == [{"series": job.name, "outcome": "refused"}]
    assert "Doe" not in json.dumps(body) and "1.2.3" not in json.dumps(body)
    assert sent(metrics, "sent") == 1
    part(spool, alert_url=webhook.url)[0]()  # as after a restart
    assert len(webhook.told) == 1


def test_a_series_that_fails_again_after_a_retry_is_told_again(spool, webhook, fail):
    look, _ = part(spool, alert_url=webhook.url)
    job = spool.move(fail(spool, "1.2.3"), "failed", ended=1.0)
    look()
    time.sleep(0.01)
    spool.move(spool.retry(job.name), "failed", outcome="refused", ended=2.0)
    look()
    assert [body["failed_now"] for body in webhook.told] == [1, 1]


def test_what_fails_within_a_while_is_told_together(spool, webhook, monkeypatch, fail):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    look, _ = part(spool, alert_url=webhook.url, alert_every=300.0)
    fail(spool, "1")
    look()
    for number in range(30):
        fail(spool, f"2.{number}", "failed")
        look()
    assert len(webhook.told) == 1
    now[0] += 301
    look()
    body = webhook.told[1]
    assert (body["failed_now"], body["failed_in_all"], len(body["series"])) == (30, 31, 20)


def test_what_is_wrong_with_the_node_is_told_when_it_begins(spool, webhook):
    health = {**WELL, "faults": {"worker": "OSError"}, "room": False}
    look, _ = part(spool, health, alert_url=webhook.url)
    for state in (health, health, WELL, health):
        health |= state
        look()
        time.sleep(0.01)
    assert [body["problems"] for body in webhook.told] == [
        ["the disk is full", "worker meets OSError"]
    ]
    health.update(WELL)
    look()
    health.update(room=False, stuck=2, partly_sent=1, dead=["watch"])
    look()
    assert webhook.told[-1]["problems"] == [
        "series are stuck",
        "the archive has a part of a result",
        "the disk is full",
        "watch is dead",
    ]


def test_an_alert_that_did_not_arrive_is_sent_again_and_its_address_is_not_logged(
    spool, webhook, caplog, fail
):
    look, metrics = part(spool, alert_url=webhook.url)
    fail(spool, "1.2.3")
    webhook.status = 500
    look()
    assert webhook.url not in str([record.args for record in caplog.records])
    assert caplog.records[-1].args["why"] == "webhook: HTTP 500"
    webhook.status = 200
    time.sleep(0.01)
    look()
    time.sleep(0.01)
    look()
    assert len(webhook.told) == 2
    assert (sent(metrics, "failed"), sent(metrics, "sent")) == (1, 1)


def test_a_command_gets_the_alert_on_its_standard_input(spool, tmp_path, fail):
    output = tmp_path / "told"
    command = (sys.executable, "-c", WRITES, str(output))
    look, _ = part(spool, alert_command=command)
    job = fail(spool, "1.2.3", "warned")
    look()
    body = json.loads(output.read_text())
    assert body["series"] == [{"series": job.name, "outcome": "warned"}]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("/no/such/program",), "command: No such file or directory"),
        ((sys.executable, "-c", "raise SystemExit(3)"), "command: exit code 3"),
        (("sh", "-c", "sleep 60 & sleep 60"), "command: not done after 0.2 s"),
    ],
)
def test_a_command_that_fails_or_hangs_is_told_and_given_up(
    spool, caplog, monkeypatch, command, why, fail
):
    monkeypatch.setattr(alerts, "_SECONDS", 0.2 if "sleep" in str(command) else 60.0)
    look, _ = part(spool, alert_command=command)
    fail(spool, "1.2.3")
    began = time.monotonic()
    look()
    assert time.monotonic() - began < 50
    assert caplog.records[-1].args["why"] == why


def test_of_a_command_that_is_given_up_nothing_goes_on(spool, tmp_path, monkeypatch, waiting, fail):
    monkeypatch.setattr(alerts, "_SECONDS", 2.0)
    child = tmp_path / "child"
    look, _ = part(spool, alert_command=("sh", "-c", f"sleep 60 & echo $! > {child}; sleep 60"))
    fail(spool, "1.2.3")
    look()
    state = Path(f"/proc/{child.read_text().strip()}/stat")

    def has_ended():
        return not state.exists() or state.read_text().split()[2] == "Z"

    waiting(has_ended, seconds=40)


def test_a_webhook_that_is_not_there_or_says_nothing_is_given_up(spool, caplog, monkeypatch, fail):
    import socket

    monkeypatch.setattr(alerts, "_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/"
        fail(spool, "1.2.3")
        part(spool, alert_url=url)[0]()
        assert caplog.records[-1].args["why"] == "webhook: ReadTimeout"
    part(spool, alert_url=url)[0]()
    assert caplog.records[-1].args["why"] == "webhook: ConnectError"
