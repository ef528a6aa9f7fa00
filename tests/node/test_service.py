import threading

from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.service import _Health, _Loop


def test_a_part_that_fails_each_time_is_told_until_it_works_again(spool, waiting):
    stop, broken = threading.Event(), threading.Event()
    broken.set()

    def part():
        if broken.is_set():
            raise OSError("no space left")

    loop = _Loop("worker", part, 0.01, stop)
    health = _Health(spool, [loop], NodeConfig(min_free="1KiB"))
    loop.start()
    try:
        waiting(lambda: not health()["ok"])
        assert health()["faults"] == {"worker": "OSError"}
        broken.clear()
        waiting(lambda: health()["ok"])
        assert health()["faults"] == {}
    finally:
        stop.set()
