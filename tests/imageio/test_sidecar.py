import json

import pytest

from hagan_clinic.imageio.sidecar import MOST_BYTES, read_sidecar, sidecar_path

TOLD = {"SeriesDescription": "Schädel T1", "ContrastBolusAgent": "Dotarem"}
TEXT = json.dumps(TOLD, ensure_ascii=False)


@pytest.fixture
def read(tmp_path):
    """Read a sidecar of this content."""

    def written(content):
        path = tmp_path / "t1.nii.gz"
        sidecar_path(path).write_bytes(content)
        return read_sidecar(path)

    return written


def test_a_scan_without_sidecar_has_none(tmp_path):
    sidecar = read_sidecar(tmp_path / "t1.nii.gz")
    assert (sidecar.values, sidecar.problem) == ({}, None)


@pytest.mark.parametrize(
    "content",
    [
        *(TEXT.encode(name) for name in ("utf-8", "utf-8-sig", "latin-1", "cp1252")),
        *(TEXT.encode(name) for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32")),
        TEXT.replace("}", ",}").encode(),
        json.dumps(TOLD, indent=1, ensure_ascii=False).replace("\n", "\r\n").encode(),
    ],
)
def test_encodings_and_commas_of_converters_are_read(read, content):
    sidecar = read(content)
    assert (sidecar.values, sidecar.problem) == (TOLD, None)


def test_raw_line_ends_and_commas_within_a_text_stay(read):
    sidecar = read(b'{"SeriesDescription": "t1\r, ]", "Comment": ",}", "Last": [1, 2,],}')
    assert sidecar.values == {"SeriesDescription": "t1\r, ]", "Comment": ",}", "Last": [1, 2]}
    assert sidecar.problem is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (TEXT[:-1].encode(), "it is no JSON"),
        (b"{'ContrastBolusAgent': 'Dotarem', }", "it is no JSON"),
        (b'[{"ContrastBolusAgent": "Dotarem"}]', "it is no JSON object"),
        (b'{"ContrastBolusAgent": "Dotarem", "x": ' + b"[" * 10**5, "it is no JSON"),
        (TEXT[:-1].encode() + b', "all": "' + b"x" * MOST_BYTES, "it has more than 4 MiB"),
    ],
)
def test_of_what_is_no_json_the_fields_are_made_out_and_it_is_told(read, content, problem):
    sidecar = read(content)
    assert sidecar.problem == problem
    assert sidecar.values["ContrastBolusAgent"] == "Dotarem"


@pytest.mark.parametrize("content", [b"", b"\0" * 9, bytes(range(256)), b'"' * 10**5, b"null"])
def test_nothing_is_made_out_of_noise(read, content):
    sidecar = read(content)
    assert not sidecar.values
    assert sidecar.problem


def test_a_folder_in_its_place_is_told(tmp_path):
    sidecar_path(tmp_path / "t1.nii").mkdir()
    assert read_sidecar(tmp_path / "t1.nii").problem == "Is a directory"
