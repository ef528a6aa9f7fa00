import json
import os
import subprocess
import sys
import time

from hagan_clinic.errors import InputError
from hagan_clinic.node import logs

EVERYTHING = """
import logging, os, sys, threading, time, warnings
from hagan_clinic.node.logs import log, start_logging

start_logging()
log("stored", series="abc", instances=3, caller="A\\x1b[31mB")
warnings.warn("Doe^Jane: unknown encoding", UserWarning)
logging.getLogger("some.library").error("Doe^Jane is %s", "odd")
logging.getLogger("pydicom").warning("Doe^Jane")
print("Doe^Jane", flush=True)
print("Doe^Jane", file=sys.stderr)
os.write(1, b"Doe^Jane, by a library in C")
os.write(2, b"Doe^Jane")
time.sleep(1.0)


def broken():
    raise ValueError("Doe^Jane")


thread = threading.Thread(target=broken, name="odd thread")
thread.start()
thread.join()


class Odd:
    def __del__(self):
        broken()


Odd()
logging.getLogger("some.library").error("%d", "no number")  # which logging would print
broken()
"""


def test_every_line_is_json_and_quotes_no_library():
    done = subprocess.run([sys.executable, "-c", EVERYTHING], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert all(line.pop("time").endswith("+00:00") for line in lines)
    events = [line["event"] for line in lines]
    assert events == [
        "stored",
        "library warning",
        "library log",
        "library output",
        "crash",
        "crash",
        "library log",
        "crash",
    ]
    stored, warned, logged, printed, thread, unraisable, _, crash = lines
    assert stored == {
        "level": "info",
        "event": "stored",
        "series": "abc",
        "instances": 3,
        "caller": "A\x1b[31mB",
    }
    assert warned == {
        "level": "warning",
        "event": "library warning",
        "kind": "UserWarning",
        "at": "<string>:7",
    }
    assert (logged["level"], logged["logger"], logged["at"]) == (
        "error",
        "some.library",
        "<string>:8",
    )
    assert printed["lines"] >= 1
    assert (thread["problem"], thread["thread"]) == ("ValueError", "odd thread")
    assert unraisable["problem"] == crash["problem"] == "ValueError"
    assert crash["trace"][-1] == "<string>:18"
    assert "Doe" not in done.stderr
    assert "\x1b" not in done.stderr


PRINTS = """
import ctypes, os, time
from hagan_clinic.node.logs import log, start_logging

start_logging()
line = b"Doe^Jane\\n" * 100_000
# As a library in C that keeps the interpreter to itself meanwhile.
written = ctypes.PyDLL(None).write(2, line, len(line))
for number in range(4):
    os.write(1, line)
    time.sleep(0.5)
log("still here", written=written == len(line))
"""


def test_what_a_library_prints_holds_nothing_up_however_much_it_is():
    done = subprocess.run(
        [sys.executable, "-c", PRINTS], capture_output=True, text=True, timeout=240
    )
    first, last = [json.loads(line) for line in done.stderr.splitlines()]
    assert (first["event"], last["event"]) == ("library output", "still here")
    assert first["lines"] >= 100_000
    assert last["written"]


LOGS = """
from hagan_clinic.node.logs import log, start_logging

start_logging()
for number in range(5000):
    log("stored", number=number, padding="x" * 50)
"""


def test_no_line_is_lost_where_standard_error_was_set_not_to_wait():
    read, write = os.pipe()
    os.set_blocking(write, False)
    process = subprocess.Popen([sys.executable, "-c", LOGS], stderr=write)
    os.close(write)
    time.sleep(1.5)  # it is full by now
    with os.fdopen(read) as lines:
        assert [json.loads(line)["number"] for line in lines] == list(range(5000))
    assert process.wait() == 0


def test_of_an_exception_its_kind_and_place_are_told_and_not_its_words():
    try:
        json.loads("Doe^Jane")
    except ValueError as error:
        assert logs.problem(error) == {"problem": "JSONDecodeError"}
    assert logs.problem(InputError("Doe^Jane has a gap")) == {"problem": "InputError"}
