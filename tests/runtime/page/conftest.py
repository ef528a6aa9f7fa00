"""A real head as a page, and Chromium without a screen, spoken to through a pipe."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from hagan_clinic.imageio import read
from hagan_clinic.runtime.page import make_subject, write_page
from hagan_clinic.volume import Volume, crop_or_pad

SAMPLE = Path(__file__).parents[3] / "examples" / "open_ms_patient07"


@pytest.fixture(scope="session")
def images():
    """A real T1 and FLAIR; what stands for the synthetic one and its error bar is made of these."""
    t1, flair = (read(SAMPLE / f"open_ms_patient07_{name}.nii.gz") for name in ("t1", "flair"))
    synthetic = np.clip(flair.array / np.percentile(flair.array, 99.5), 0, 1)
    bar = (0.1 + 0.2 * (1 - synthetic)) * (synthetic > 0)
    return {
        "t1": t1,
        "synthetic": flair.with_array(synthetic.astype(np.float32)),
        "bar": flair.with_array(bar.astype(np.float32)),
        "flair": flair,
    }


@pytest.fixture(scope="session")
def subject_of(images):
    """A function that makes the subject."""

    def made(name="patient 07", limit=19 * 2**20, turned=None, **more):
        shown = images if turned is None else {n: turned(v) for n, v in images.items()}
        return make_subject(
            name,
            [("t1", shown["t1"])],
            ("flair", shown["synthetic"]),
            uncertainty=shown["bar"],
            real=shown["flair"],
            limit=limit,
            **more,
        )

    return made


@pytest.fixture(scope="session")
def posterior_first(images):
    """Turn a volume's axes to posterior, superior, left, as a sagittal acquisition has them."""

    def turned(volume):
        array = volume.array.transpose(1, 2, 0)
        affine = volume.affine[:, [1, 2, 0, 3]]
        flip = np.diag([-1.0, 1, -1, 1])
        flip[[0, 2], 3] = array.shape[0] - 1, array.shape[2] - 1
        return Volume(array[::-1, :, ::-1], affine @ flip)

    return turned


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
"""Debian's Chromium, or the Chrome of GitHub's Ubuntu machines."""


class Browser:
    """Headless Chromium over the pipe of its DevTools protocol."""

    def __init__(self, folder):
        into, self._send = os.pipe()
        self._receive, out = os.pipe()
        # It reads from descriptor 3 and writes to 4.
        self._process = subprocess.Popen(
            [
                *("bash", "-c", f'exec "$@" 3<&{into} 4>&{out}', "bash", BROWSER),
                *("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"),
                *(f"--user-data-dir={folder}", "--no-first-run", "--window-size=1500,1200"),
            ],
            pass_fds=(into, out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(into)
        os.close(out)
        self._count, self._rest, self._session = 0, b"", None
        self.requests = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            self.ask(f"{domain}.enable")

    def ask(self, method, **parameters):
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("method") == "Network.requestWillBeSent":
                self.requests.append(told["params"]["request"]["url"])
            if told.get("id") == self._count:
                assert "error" not in told, told
                return told["result"]

    def _next(self):
        deadline = time.monotonic() + 60
        while b"\0" not in self._rest:
            ready, *_ = select.select([self._receive], [], [], deadline - time.monotonic())
            part = os.read(self._receive, 2**20) if ready else b""
            assert part, "Chromium has ended or does not answer"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def run(self, script):
        told = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def open(self, path):
        self.requests = []
        self.ask("Page.navigate", url=path.as_uri())
        self.wait_for("document.body?.dataset.shown !== undefined")

    def wait_for(self, condition):
        deadline = time.monotonic() + 60
        while not self.run(condition):
            assert time.monotonic() < deadline, condition
            time.sleep(0.05)

    def press(self, key):
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)

    def click(self, x, y):
        for kind in ("mousePressed", "mouseReleased"):
            self.ask(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1,
                buttons=int(kind == "mousePressed"),
            )  # fmt: skip

    def screenshot(self):
        return base64.b64decode(self.ask("Page.captureScreenshot")["data"])

    def close(self):
        os.close(self._send)
        self._process.terminate()
        self._process.wait(20)
        os.close(self._receive)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    if BROWSER is None:
        pytest.skip("neither chromium (Debian's package) nor google-chrome is installed")
    opened = Browser(tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def page(tmp_path_factory, subject_of, posterior_first):
    """Two subjects, of which the second written has a warning and comes first."""
    path = tmp_path_factory.mktemp("page") / "qc.html"

    def other(volume):
        """With one voxel less of air: a result of its own."""
        return posterior_first(
            crop_or_pad(volume, [0, 0, 0], [volume.shape[0] - 1, *volume.shape[1:]])
        )

    first = subject_of("quiet", limit=2**20)
    second = subject_of("</script><b>odd", warnings=["a & b <i>"], turned=other)
    write_page([first, second], path, "weights <0>")
    return path
