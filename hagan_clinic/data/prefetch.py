"""One batch ahead: the next batch is made on the device while the step works on this one."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch.utils.data import default_collate

from hagan_clinic.data.augmented import Batch, RawSample, augmented


def batches_ahead(samples: Iterator[Sequence[RawSample]], device: torch.device) -> Iterator[Batch]:
    """Augmented batches on the device, the next one under way.

    A thread takes the samples, copies and augments them; on CUDA in a stream of its own, so that
    neither the step nor the program waits for it. On a CPU as many threads augment a sample each
    as PyTorch may use: its own would share every small operation, and wait for one another.

    Args:
        samples: The raw samples of every batch.
        device: Where batches go.
    """
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None
    threads = torch.get_num_threads()

    def made(sample: RawSample) -> Batch:
        with torch.no_grad(), torch.cuda.stream(stream):
            return augmented(sample.to(device))

    def following() -> tuple[Batch, torch.cuda.Event | None] | None:
        with torch.cuda.stream(stream):
            raw = next(samples, None)
        if raw is None:
            return None
        each = [made(sample) for sample in raw] if stream else list(many.map(made, raw))
        with torch.cuda.stream(stream):
            return default_collate(each), None if stream is None else stream.record_event()

    with _threads(1) as one, _threads(threads) as many:
        torch.set_num_threads(threads)  # what they set is also what later threads begin with
        coming = one.submit(following)
        while (found := coming.result()) is not None:
            coming = one.submit(following)
            batch, ready = found
            if ready is not None:
                current = torch.cuda.current_stream(device)
                current.wait_event(ready)
                for tensor in batch.values():
                    if tensor.is_cuda:  # not to be overwritten while the step reads it
                        tensor.record_stream(current)
            yield batch


def _threads(number: int) -> ThreadPoolExecutor:
    """So many threads, started, each of which PyTorch leaves to itself."""
    threads = ThreadPoolExecutor(number, thread_name_prefix="batches", initializer=_to_itself)
    all_there = threading.Barrier(number)
    list(threads.map(lambda _: all_there.wait(), range(number)))
    return threads


def _to_itself() -> None:
    """Have PyTorch use this thread alone for what it calls."""
    torch.set_num_threads(1)
    torch.get_num_threads()  # a thread that has not asked takes over what is set later
