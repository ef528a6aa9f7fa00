import threading
import time
from itertools import islice

import pytest
import torch

from hagan_clinic.data import prefetch
from hagan_clinic.data.prefetch import batches_ahead

CPU = torch.device("cpu")


class Sample:
    """Stands for a raw sample."""

    def __init__(self, number):
        self.number = number

    def to(self, device):
        return self


@pytest.fixture
def made(monkeypatch):
    """The numbers of the samples that were made, in order."""
    numbers = []

    def augmented(sample):
        numbers.append(sample.number)
        return {"number": torch.tensor(sample.number), "threads": torch.tensor(threads())}

    monkeypatch.setattr(prefetch, "augmented", augmented)
    return numbers


def threads():
    return torch.get_num_threads()


def lists(number):
    return ([Sample(n)] for n in range(number))


def test_batches_come_in_order_and_end(made):
    assert [int(batch["number"]) for batch in batches_ahead(lists(5), CPU)] == [0, 1, 2, 3, 4]


def test_the_next_batch_is_made_while_this_one_is_used_and_no_more(made):
    batches = batches_ahead(lists(10), CPU)
    next(batches)
    deadline = time.monotonic() + 5
    while len(made) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert made == [0, 1]
    batches.close()


def test_what_fails_ahead_is_raised_where_the_batch_is_wanted(made):
    def failing():
        yield [Sample(0)]
        raise ValueError("torn file")

    batches = batches_ahead(failing(), CPU)
    assert int(next(batches)["number"]) == 0
    with pytest.raises(ValueError, match="torn file"):
        next(batches)


def test_no_thread_is_left_behind(made):
    before = threading.active_count()
    for batches in (batches_ahead(lists(10), CPU), batches_ahead(lists(2), CPU)):
        list(islice(batches, 2))
        batches.close()
    assert threading.active_count() == before


def test_each_sample_has_one_thread_and_the_program_keeps_its_own(made):
    before = threads()
    torch.set_num_threads(3)
    try:
        (batch,) = batches_ahead(iter([[Sample(n) for n in range(5)]]), CPU)
        assert batch["threads"].tolist() == [1] * 5
        assert batch["number"].tolist() == [0, 1, 2, 3, 4]
        begun = []
        later = threading.Thread(target=lambda: begun.append(threads()))
        later.start()
        later.join()
        assert threads() == begun[0] == 3
    finally:
        torch.set_num_threads(before)
