import json
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import pydicom
import pytest

from hagan_clinic.node import stow
from hagan_clinic.node.delivery import CutOffError, RefusedError, UnreachableError
from hagan_clinic.node.destination import WebDestination
from hagan_clinic.node.stow import WebSender


class Service:
    """A DICOMweb service that keeps what it is posted, and answers as it is told."""

    def __init__(self):
        self.requests = []
        self.answers = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.requests.append((self.path, dict(self.headers), body))
                code, answer = service.answers.pop(0) if service.answers else (200, {})
                self.send_response(code)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/dicom-web"

    def instances(self):
        for _, headers, body in self.requests:
            boundary = re.search("boundary=(.*)", headers["Content-Type"])[1].encode()
            for part in body.split(b"--" + boundary)[1:-1]:
                yield pydicom.dcmread(BytesIO(part.split(b"\r\n\r\n", 1)[1]))


@pytest.fixture
def service():
    one = Service()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def files(make_series, tmp_path):
    paths = []
    for number, one in enumerate(make_series("stow")):
        paths.append(tmp_path / f"{number}.dcm")
        one.save_as(paths[-1], enforce_file_format=True)
    return paths


def sender(service, token_file=""):
    return WebSender(WebDestination(service.url), 20, ssl.create_default_context(), token_file)


def uid(path):
    return pydicom.dcmread(path).SOPInstanceUID


def failed(*paths):
    items = [{"00081155": {"vr": "UI", "Value": [uid(path)]}} for path in paths]
    return {"00081198": {"vr": "SQ", "Value": items}}


def test_every_instance_arrives_whole_in_requests_of_a_bounded_size(service, files, monkeypatch):
    monkeypatch.setattr(stow, "BATCH", 2 * files[0].stat().st_size + 100)
    taken = []
    sender(service).store(files, taken.append)
    assert taken == files
    assert [path for path, _, _ in service.requests] == ["/dicom-web/studies"] * 3
    assert [one.PixelData for one in service.instances()] == [
        pydicom.dcmread(path).PixelData for path in files
    ]


def test_the_token_is_read_for_each_request_and_shown(service, files, tmp_path):
    token = tmp_path / "token"
    one = sender(service, str(token))
    for text in ("first", "second"):
        token.write_text(f"{text}\n")
        one.store(files[:1], print)
    assert [headers["Authorization"] for _, headers, _ in service.requests] == [
        "Bearer first",
        "Bearer second",
    ]


@pytest.mark.parametrize("code", [202, 409])
def test_only_what_the_answer_lists_as_failed_is_left(service, files, code):
    service.answers = [(code, failed(files[1]))]
    taken = []
    with pytest.raises(RefusedError, match="1 of 6"):
        sender(service).store(files, taken.append)
    assert taken == [files[0], *files[2:]]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (503, UnreachableError),
        (401, UnreachableError),
        (500, CutOffError),
        (400, RefusedError),
        (409, RefusedError),
    ],
)
def test_an_error_takes_nothing(service, files, code, error):
    service.answers = [(code, {})]
    with pytest.raises(error, match=str(code)):
        sender(service).store(files, lambda path: pytest.fail("taken"))


def test_a_service_that_is_down_is_for_later(service, files):
    service.server.shutdown()
    service.server.server_close()
    with pytest.raises(UnreachableError):
        sender(service).store(files, print)
