"""Small NIfTI files, made by nibabel and then changed byte by byte."""

import nibabel as nib
import numpy as np
import pytest


@pytest.fixture(scope="session")
def source():
    """A function that writes a NIfTI file with nibabel."""

    def write(path, array=None, affine=None, kind=nib.Nifti1Image, **codes):
        array = np.arange(60, dtype=np.int16).reshape(3, 4, 5) if array is None else array
        image = kind(array, np.eye(4) if affine is None else affine)
        image.set_sform(image.affine, code=codes.get("sform", 1))
        image.set_qform(image.affine, code=codes.get("qform", 1))
        nib.save(image, path)
        return path

    return write


@pytest.fixture(scope="session")
def patched():
    """A function that overwrites a header field of an uncompressed file."""

    def patch(path, offset, value, kind):
        content = bytearray(path.read_bytes())
        data = np.array(value, dtype=kind).tobytes()
        content[offset : offset + len(data)] = data
        path.write_bytes(content)
        return path

    return patch
