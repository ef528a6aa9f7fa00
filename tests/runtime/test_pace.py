import pytest

from hagan_clinic.runtime import pace
from hagan_clinic.runtime.pace import Pace


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves."""
    now = [50.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    return now


def shares(measured, clock, voxels, looks):
    """What is told of a run that is looked at every second."""
    told = []
    with measured.run(voxels, told.append) as tell:
        for _ in range(looks):
            clock[0] += 1
            tell()
    return told


def test_the_first_run_moves_ever_more_slowly_and_never_says_it_is_done(clock):
    told = shares(Pace(), clock, 10**6, 60)
    steps = [after - before for before, after in zip([0, *told], told, strict=False)]
    assert steps == sorted(steps, reverse=True)
    assert told[0] > 0.05 and 0.9 < told[-1] < 1


def test_later_runs_go_by_what_the_last_one_took(clock):
    measured = Pace()
    shares(measured, clock, 1000, 10)
    assert shares(measured, clock, 2000, 10) == pytest.approx([n / 20 for n in range(1, 11)])
    assert shares(measured, clock, 1000, 9)[-1] == pace._NEARLY, "this machine was twice as quick"


def test_a_run_that_failed_is_no_measure(clock):
    measured = Pace()
    with pytest.raises(RuntimeError), measured.run(1000, lambda share: None):
        clock[0] += 1
        raise RuntimeError
    assert measured.share(1000, 1.0) == Pace().share(1000, 1.0)
