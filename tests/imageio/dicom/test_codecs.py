"""Decoding in several threads, as a node does."""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import RLELossless

from hagan_clinic.imageio.dicom import codecs


def test_threads_that_decode_at_once_leave_the_filters_of_warnings_and_the_terminal(monkeypatch):
    frames = [np.full((8, 8), value, np.uint16) for value in (7, 1900)]
    first_in, second_in, first_done = Event(), Event(), Event()
    encapsulate = codecs.encapsulate

    def one_leaves_before_the_other(data, **options):
        if not first_in.is_set():
            first_in.set()
            second_in.wait(0.3)  # as long as it is kept out
        else:
            second_in.set()
            first_done.wait(0.3)
        return encapsulate(data, **options)

    def decoded(frame):
        data = RLELosslessEncoder.encode(
            frame.tobytes(),
            rows=8,
            columns=8,
            number_of_frames=1,
            samples_per_pixel=1,
            photometric_interpretation="MONOCHROME2",
            bits_allocated=16,
            bits_stored=16,
            pixel_representation=0,
            encoding_plugin="pydicom",
        )
        array = codecs.decode(data, RLELossless, 8, 8, 16, signed=False)
        first_done.set()
        return array

    monkeypatch.setattr(codecs, "encapsulate", one_leaves_before_the_other)
    filters, kept = list(warnings.filters), os.dup(2)
    try:
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(decoded, frames[0])
            assert first_in.wait(5)
            second = threads.submit(decoded, frames[1])
            arrays = [first.result(), second.result()]
        assert warnings.filters == filters
        assert os.path.sameopenfile(2, kept)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    for array, frame in zip(arrays, frames, strict=True):
        np.testing.assert_array_equal(array, frame)
