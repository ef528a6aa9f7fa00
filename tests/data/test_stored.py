"""Prepared volumes, opened from many threads."""

import ast
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from hagan_clinic.data.stored import opened


def test_one_header_is_read_at_a_time(tmp_path, monkeypatch):
    """Python 3.11's parser is not to be entered by two threads."""
    file = tmp_path / "a.npy"
    np.save(file, np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    inside, most, counting = 0, 0, threading.Lock()
    parse = ast.literal_eval

    def slow(text):
        nonlocal inside, most
        with counting:
            inside += 1
            most = max(most, inside)
        time.sleep(0.01)
        with counting:
            inside -= 1
        return parse(text)

    monkeypatch.setattr(ast, "literal_eval", slow)
    with ThreadPoolExecutor(8) as pool:
        arrays = list(pool.map(lambda _: opened(file), range(16)))
    assert most == 1
    assert all((array == np.load(file)).all() for array in arrays)
