import shutil
import threading

import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.discovery import find_series
from hagan_clinic.node import collector
from hagan_clinic.node.arrivals import complete
from hagan_clinic.node.collector import Collector
from hagan_clinic.node.config import NodeConfig
from hagan_clinic.node.endings import Endings
from hagan_clinic.node.intake import Intake
from hagan_clinic.node.metrics import Metrics
from hagan_clinic.node.recovery import recover
from hagan_clinic.node.retention import Retention
from hagan_clinic.node.standing import incomplete


@pytest.fixture
def intake(spool):
    return Intake(spool, Metrics(spool), 0)


@pytest.fixture
def collect(spool, intake):
    """A function that lets the collector look once; the names of the series that are ready."""

    def look(missing=lambda folders: "", **settings):
        config = NodeConfig(**{"silence": 0.001, **settings})
        Collector(spool, intake, config, Endings(spool, Metrics(spool)), missing)()
        return [job.name for job in spool.jobs("ready")]

    return look


def test_a_series_is_complete_after_silence(intake, collect, make_series, arrived, waiting):
    _, name = intake.take(arrived(make_series("a")[0]))
    assert collect(silence=600.0) == []
    waiting(lambda: intake.silent_for(name) > 0.001)
    assert collect() == [name]


def test_a_series_that_cannot_be_joined_to_what_came_before_holds_up_no_other(
    spool, intake, collect, make_series, arrived, waiting
):
    first, *late = make_series("damaged")
    _, damaged = intake.take(arrived(first))
    shutil.rmtree(complete(spool, damaged).source)
    intake.take(arrived(late[0]))
    _, good = intake.take(arrived(make_series("good")[0]))
    waiting(lambda: intake.silent_for(good) > 0.001)
    assert good in collect()
    (job,) = spool.jobs("failed")
    assert job.name == damaged
    assert job.record()["reason"]


def test_an_open_association_holds_its_series_but_not_for_ever(
    intake, collect, make_series, arrived, waiting
):
    _, name = intake.take(arrived(make_series("a")[0]))
    end = threading.Event()
    sender = threading.Thread(target=end.wait)
    sender.start()
    intake.hold(name, sender)
    waiting(lambda: intake.silent_for(name) > 0.01)
    assert collect() == []
    assert collect(longest_open=0.01) == [name]
    end.set()
    sender.join()


def test_once_the_association_has_ended_silence_counts(
    intake, collect, make_series, arrived, waiting
):
    _, name = intake.take(arrived(make_series("a")[0]))
    sender = threading.Thread(target=bool)
    sender.start()
    sender.join()
    intake.hold(name, sender)
    waiting(lambda: intake.silent_for(name) > 0.01)
    assert collect() == [name]


def test_what_is_plainly_not_whole_is_held_back_until_the_rest_comes(
    spool, intake, collect, make_series, arrived, waiting
):
    series = make_series("half")
    _, name = intake.take(arrived(series[0]))
    waiting(lambda: intake.silent_for(name) > 0.01)

    def missing(folders):
        return "1 of 2" if sum(1 for folder in folders for _ in folder.iterdir()) < 2 else ""

    assert collect(missing) == []
    assert incomplete(spool) == {name: "1 of 2"}
    intake.take(arrived(series[1]))
    waiting(lambda: intake.silent_for(name) > 0.01)
    assert collect(missing) == [name]
    assert spool.find(name).record() == {}
    assert incomplete(spool) == {}


def test_how_long_a_series_is_held_back_counts_on_after_a_restart_until_more_comes(
    spool, intake, make_series, arrived, waiting
):
    first, second, *_ = make_series("held")
    _, name = intake.take(arrived(first))

    def start():
        """Of a node: it has heard of nothing."""
        metrics = Metrics(spool)
        fresh, config = Intake(spool, metrics, 0), NodeConfig(silence=0.001, max_disk_share=1.0)
        endings = Endings(spool, metrics)
        look = Collector(spool, fresh, config, endings, lambda folders: "1 of 3")
        look()
        waiting(lambda: fresh.silent_for(name) > 0.001)
        look()
        Retention(spool, config, endings)()
        return spool.find(name).record()["kept_since"]

    assert start() == start()
    intake.take(arrived(second))
    before = spool.find(name).record()["kept_since"]
    assert start() > before
    assert incomplete(spool) == {name: "1 of 3"}


def test_late_instances_are_judged_with_what_came_before(
    spool, intake, collect, make_series, arrived, waiting
):
    series = make_series("late")
    _, name = intake.take(arrived(series[0]))
    spool.move(complete(spool, name), "done")
    intake.take(arrived(series[1]))
    seen = []
    waiting(lambda: intake.silent_for(name) > 0.01)
    collect(lambda folders: seen.append([folder.parts[-3] for folder in folders]) or "")
    assert seen == [["done", "incoming"]]


def test_an_operator_releases_what_is_held_back(
    spool, intake, collect, make_series, arrived, waiting
):
    series = make_series("half")
    _, name = intake.take(arrived(series[0]))
    waiting(lambda: intake.silent_for(name) > 0.01)
    assert collect(lambda folders: "cut") == []
    spool.release(str(series[0].SeriesInstanceUID))
    assert collect(lambda folders: "cut") == [name]


def test_what_is_held_back_can_be_purged_and_what_still_comes_in_cannot(
    spool, intake, collect, make_series, arrived, waiting
):
    _, name = intake.take(arrived(make_series("half")[0]))
    with pytest.raises(ValueError, match="incoming"):
        spool.purge(spool.find(name))
    waiting(lambda: intake.silent_for(name) > 0.01)
    collect(lambda folders: "cut")
    spool.purge(spool.find(name))
    assert spool.jobs("incoming") == []


class Crash(BaseException):
    pass


def read(folders):
    """As the translator's judgement: it reads the files of every part."""
    return "" if all(find_series(folder).series for folder in folders) else "no series"


def test_a_join_that_was_cut_off_before_its_last_step_is_finished_at_the_next_start(
    spool, intake, collect, make_series, arrived, waiting, monkeypatch
):
    series = make_series("late")
    for one in series[:2]:
        _, name = intake.take(arrived(one))
    spool.move(complete(spool, name), "done")
    intake.take(arrived(series[2]))

    def crash(folder):
        raise Crash

    with monkeypatch.context() as patched, pytest.raises(Crash):
        patched.setattr(shutil, "rmtree", crash)
        complete(spool, name)
    recover(spool)
    waiting(lambda: intake.silent_for(name) > 0.001)
    assert collect(read) == [name]
    assert spool.jobs("failed") == spool.jobs("incoming") == []
    assert sum(1 for _ in spool.find(name).source.iterdir()) == 3


def test_a_part_that_goes_on_while_it_is_judged_is_judged_again(
    spool, intake, collect, make_series, arrived, waiting
):
    series = make_series("moving")
    _, name = intake.take(arrived(series[0]))
    earlier = complete(spool, name)
    intake.take(arrived(series[1]))
    waiting(lambda: intake.silent_for(name) > 0.001)

    def moving(folders):
        spool.take(earlier)
        raise InputError("no such file or folder")

    collect(moving)
    assert spool.jobs("failed") == []
    (job,) = spool.jobs("running")
    spool.move(job, "done")
    assert collect(read) == [name]


def test_nothing_takes_a_series_before_its_instances_are_counted(
    spool, intake, collect, make_series, arrived, waiting, monkeypatch
):
    _, name = intake.take(arrived(make_series("quick")[0]))
    waiting(lambda: intake.silent_for(name) > 0.001)

    def raced(spool, name):
        ready = complete(spool, name)
        worker = threading.Thread(target=spool.take, args=(ready,))
        worker.start()
        worker.join(0.2)
        return ready

    monkeypatch.setattr(collector, "complete", raced)
    collect()
    waiting(lambda: spool.jobs("running"))
    assert spool.jobs("failed") == []
