"""Work on processes that Dask keeps; functions travel by value, as no worker has this file."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import pairwise

import pytest

from hagan_clinic.cluster import (
    UnfitWorkerError,
    connected,
    in_worker,
    own_threads,
    spread,
    spreading,
)
from hagan_clinic.errors import DeviceError

distributed = pytest.importorskip("distributed")

INTERRUPTED = """
import sys
from hagan_clinic.cluster import connected, spread

def say(*told):
    print(*told, flush=True)

if __name__ == "__main__":
    folder = sys.argv[1]
    def patient(number):
        import time
        from pathlib import Path
        from hagan_clinic.cluster import asked_to_stop
        Path(folder, f"begun{number}").touch()
        for _ in range(100 * number):
            if asked_to_stop():
                return "asked"
            time.sleep(0.1)
        return "done"
    try:
        with connected("local:1") as client:
            say(client.scheduler.address.partition(":")[0])
            for result in spread(client, patient, range(9), say=say):
                say(*result)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def test_a_worker_that_is_killed_loses_nothing_and_nothing_is_done_twice(workers, tmp_path):
    def write(number):
        time.sleep(0.05)
        if number == 4 and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        with (tmp_path / f"{number}.txt").open("x") as file:  # a second time is an error
            file.write(str(os.getpid()))
        return number * number

    told = []
    with connected(workers.scheduler_address) as client:
        found = list(spread(client, write, range(20), say=told.append))
    assert [line for line in told if "was lost; what it had is done by another" in line]
    assert sorted(found) == [(number, number * number) for number in range(20)]
    assert len({path.read_text() for path in tmp_path.glob("*.txt")}) >= 2


def test_a_piece_that_kills_every_worker_is_an_error_and_the_others_are_done(workers):
    def deadly(number):
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with connected(workers.scheduler_address) as client:
        found = dict(spread(client, deadly, range(3), say=print))
    assert (found[0], found[2]) == (0, 2)
    assert isinstance(found[1], DeviceError) and "memory runs out" in str(found[1])


def test_an_error_is_a_result_and_no_name_is_seen_by_dask(workers, caplog):
    def failing(name):
        raise ValueError(f"{name} is wrong")

    with connected(workers.scheduler_address) as client:
        ((_, error),) = spread(client, failing, ["Doe^Jane"], say=print)
        told = client.get_worker_logs(), client.get_scheduler_logs()
        held = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks))
    assert isinstance(error, ValueError) and "Doe^Jane is wrong" in str(error)
    assert "Doe" not in f"{told}{held}{caplog.text}{in_worker.Piece(failing, 'Doe', '', '')!r}"


def test_a_worker_does_one_piece_at_a_time_with_its_threads_whoever_asks(workers):
    def alone(number):
        started = time.monotonic()
        time.sleep(0.1)
        return os.getpid(), own_threads(), started

    with connected(workers.scheduler_address) as client, ThreadPoolExecutor() as pool:
        calls = pool.map(lambda _: list(spread(client, alone, range(9), say=print)), range(2))
        found = [value for call in calls for _, value in call]
    assert len(found) == 18
    assert {threads for _, threads, _ in found} == {2}
    for process in {process for process, _, _ in found}:
        starts = sorted(start for of, _, start in found if of == process)
        assert all(after - before > 0.1 for before, after in pairwise(starts))


def in_this_process(workers, threads=1):
    return distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=threads,
        processes=False,
        memory_limit=0,  # it would be that of pytest, whose memory pauses workers
        dashboard_address="127.0.0.1:0",
    )


def test_no_piece_begins_on_a_worker_that_has_one_however_many_there_are(monkeypatch):
    monkeypatch.setattr(in_worker, "_one_at_a_time", nullcontext())  # one for all, in one process

    def times(number):
        began = time.monotonic()
        time.sleep(0.02 * (1 + number % 5))
        return distributed.get_worker().address, began, time.monotonic()

    with in_this_process(24, 4) as many, distributed.Client(many) as client:
        found = [value for _, value in spread(client, times, range(96), say=print)]
    assert len({worker for worker, _, _ in found}) == 24
    for worker in {worker for worker, _, _ in found}:
        pieces = sorted(value[1:] for value in found if value[0] == worker)
        assert all(end <= begin for (_, end), (begin, _) in pairwise(pieces))


def test_workers_that_are_all_paused_for_their_memory_are_told_of(monkeypatch):
    monkeypatch.setattr(spreading, "NOBODY_SECONDS", 0.2)
    monkeypatch.setattr(spreading, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(spreading, "_workers", lambda client: {"tcp://a": "paused"})
    with (
        in_this_process(1) as one,
        distributed.Client(one) as client,
        pytest.raises(DeviceError, match="were paused for their memory"),
    ):
        list(spread(client, time.sleep, [0.0], say=print))


def test_a_worker_that_is_told_to_leave_is_no_death_of_its_piece(monkeypatch, tmp_path):
    monkeypatch.setattr(in_worker, "_one_at_a_time", nullcontext())
    monkeypatch.setattr(spreading, "DEATHS", 1)

    def leaving(unfit):
        if distributed.get_worker().address == unfit:
            (tmp_path / "begun").touch()
            time.sleep(2)
        return distributed.get_worker().address

    def retire(client, worker):
        while not (tmp_path / "begun").exists():
            time.sleep(0.05)
        client.retire_workers([worker])

    with in_this_process(2) as two, distributed.Client(two) as client:
        first, other = client.nthreads()
        with ThreadPoolExecutor() as pool:
            pool.submit(retire, client, first)
            found = [value for _, value in spread(client, leaving, [first] * 2, say=print)]
    assert found == [other] * 2


def test_a_scheduler_that_is_lost_ends_the_command_by_name():
    def slow(number):
        time.sleep(0.3)

    with (
        in_this_process(1) as one,
        distributed.Client(one.scheduler_address) as client,
        ThreadPoolExecutor() as pool,
        pytest.raises(DeviceError, match="scheduler was lost; start it"),
    ):
        pool.submit(lambda: (time.sleep(0.5), one.close()))
        list(spread(client, slow, range(30), say=print))


@pytest.fixture
def deserted(monkeypatch):
    """A cluster of this process without workers, and a moment to notice it."""
    monkeypatch.setattr(spreading, "NOBODY_SECONDS", 0.2)
    monkeypatch.setattr(spreading, "LOOK_SECONDS", 0.1)
    with in_this_process(0) as empty:
        yield empty


def test_a_cluster_without_workers_is_told_of_and_work_begins_when_one_joins(deserted):
    told = []

    def tell(line):
        told.append(line)
        deserted.scale(1)

    with distributed.Client(deserted.scheduler_address) as client:
        assert list(spread(client, abs, [-1], say=tell)) == [(0, 1)]
    assert len(told) == 1 and "no worker to give work to for 0.2 s: none is there" in told[0]


def test_processes_of_this_machine_that_all_ended_end_the_command(deserted):
    with (
        distributed.Client(deserted) as client,
        pytest.raises(DeviceError, match=r"and none came back within .* give fewer: local:1"),
    ):
        list(spread(client, abs, [-1], say=print))


def test_ctrl_c_stops_after_what_is_in_work_and_tells_it_to_end(tmp_path):
    script = tmp_path / "main.py"
    script.write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, script, tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "tls\n"  # no other user of the machine gives it work
    assert process.stdout.readline() == "0 done\n"
    while not (tmp_path / "begun1").exists():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert out == "stopping; what is in work is finished first (Ctrl-C again: at once)\n1 asked\n"
    assert err == ""


def test_a_worker_that_turns_out_unfit_is_refused_by_name_and_another_does_its_piece(workers):
    def fussy(unfit):
        if distributed.get_worker().address == unfit:
            raise UnfitWorkerError("its model is another")
        return "done"

    told = []
    with connected(workers.scheduler_address) as client:
        unfit = next(iter(client.nthreads()))
        found = [value for _, value in spread(client, fussy, [unfit] * 4, say=told.append)]
        assert unfit in client.nthreads()  # it may serve others
    assert found == ["done"] * 4
    assert told == [f"worker {unfit} is refused: its model is another"]
