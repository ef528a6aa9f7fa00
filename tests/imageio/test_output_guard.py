import os

import pytest

from hagan_clinic.errors import OutputError
from hagan_clinic.imageio.output_guard import check_output


@pytest.mark.parametrize(
    ("name", "overwrite", "words"),
    [
        pytest.param("z.txt", True, r"has \.txt, expected \.npz or \.csv", id="suffix"),
        pytest.param("none/z.npz", True, "none does not exist; create it first", id="no-folder"),
        pytest.param("z.npz", False, "exists already; choose another path", id="exists"),
        pytest.param("read.npz", True, r"is the input; expected another path", id="input"),
        pytest.param("linked.npz", True, r"is the input; expected another path", id="linked-input"),
        pytest.param("n" * 300 + ".npz", True, "the name is too long", id="long-name"),
    ],
)
def test_what_would_stop_the_writing_is_found_before_the_work(tmp_path, name, overwrite, words):
    for file in ("z.npz", "read.npz"):
        (tmp_path / file).write_bytes(b"kept")
    (tmp_path / "linked.npz").symlink_to("read.npz")
    with pytest.raises(OutputError, match=words):
        check_output(
            tmp_path / name,
            [tmp_path / "read.npz"],
            overwrite=overwrite,
            suffixes=(".npz", ".csv"),
        )
    assert (tmp_path / "z.npz").read_bytes() == (tmp_path / "read.npz").read_bytes() == b"kept"


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    # Permissions do not bind root.
    monkeypatch.setattr(os, "access", lambda folder, mode: folder != tmp_path)
    with pytest.raises(OutputError, match="cannot be written; choose another or change"):
        check_output(tmp_path / "z.npz", overwrite=True)


def test_a_file_that_may_be_replaced_and_a_new_one_pass(tmp_path):
    (tmp_path / "z.npz").touch()
    check_output(tmp_path / "z.npz", overwrite=True, suffixes=(".npz",))
    check_output(tmp_path / "new.npz", [tmp_path / "z.npz"], overwrite=False)
