"""One batch ahead: the next batch is made on the device while the step works on this one."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from hagan_clinic.training.augmented import Batch, RawSample, batch_of


def batches_ahead(samples: Iterator[Sequence[RawSample]], device: torch.device) -> Iterator[Batch]:
    """Augmented batches on the device, the next one under way.

    A thread takes the samples, copies and augments them; on CUDA in a stream of its own, so that
    neither the step nor the program waits for it.

    Args:
        samples: The raw samples of every batch.
        device: Where batches go.
    """
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def following() -> tuple[Batch, torch.cuda.Event | None] | None:
        raw = next(samples, None)
        if raw is None:
            return None
        with torch.no_grad(), torch.cuda.stream(stream):
            batch = batch_of([sample.to(device) for sample in raw])
            return batch, None if stream is None else stream.record_event()

    with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
        coming = thread.submit(following)
        while (made := coming.result()) is not None:
            coming = thread.submit(following)
            batch, ready = made
            if ready is not None:
                current = torch.cuda.current_stream(device)
                current.wait_event(ready)
                for tensor in batch.values():
                    tensor.record_stream(current)  # not to be overwritten while the step reads it
            yield batch
