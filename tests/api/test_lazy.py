import subprocess
import sys

import pytest

import hagan_clinic


def test_the_package_is_imported_without_what_its_names_need():
    code = (
        "import sys, hagan_clinic; "
        "heavy = {'torch', 'onnxruntime', 'numpy', 'torchio'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", hagan_clinic.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name):
    found = getattr(hagan_clinic, name)
    assert name == "__version__" or found.__name__ == name
    assert name == "__version__" or len(found.__doc__.splitlines()[0]) > 10


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        _ = hagan_clinic.tarin
