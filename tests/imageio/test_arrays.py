import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.arrays import open_npz


def header(shape):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


def test_arrays_come_back(tmp_path):
    path = tmp_path / "arrays.npz"
    np.savez_compressed(path, a=np.arange(6.0).reshape(2, 3), b=np.array("text"))
    with open_npz(path) as arrays:
        assert arrays["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert str(arrays["b"]) == "text"


def refused(path, match, **limits):
    tracemalloc.start()
    with pytest.raises(InputError, match=match), open_npz(path, **limits) as arrays:
        arrays["a"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23


def test_a_file_that_inflates_beyond_measure_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w", force_zip64=True) as stream,
    ):
        stream.write(header((2**22,)) + bytes(2**24))
    assert path.stat().st_size < 2**15
    refused(path, "more than the 4194304", most=2**22)


def test_an_array_that_says_it_is_larger_than_what_is_stored_is_refused(tmp_path):
    path = tmp_path / "liar.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", header((10**10,)) + bytes(100))
    refused(path, "10000000000 float32")
