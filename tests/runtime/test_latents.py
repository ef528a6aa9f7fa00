from pathlib import Path

import numpy as np
import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.runtime.latents import (
    Latents,
    draw_latents,
    read_latents,
    write_latents,
)


def some_latents(**changes):
    z = np.random.default_rng(3).standard_normal((3, 5)).astype(np.float32)
    fields = {"latents": z, "names": ("a", "b, c", "ä"), "identity": "ab12", "image": "t1"}
    return Latents(**fields | changes)


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
@pytest.mark.parametrize("labels", [(), ("x", "y", "x")])
def test_a_file_gives_back_every_bit(tmp_path, suffix, labels):
    written = some_latents(labels=labels)
    write_latents(written, tmp_path / f"z{suffix}")
    found = read_latents(tmp_path / f"z{suffix}")
    assert found.latents.dtype == np.float32
    assert (found.latents == written.latents).all()
    assert found.names == written.names and found.labels == labels
    assert (found.identity, found.image) == ("ab12", "t1")


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
@pytest.mark.parametrize("image", ["T1 post contrast", "a, model b", ""])
def test_any_name_of_a_sequence_comes_back(tmp_path, suffix, image):
    write_latents(some_latents(image=image), tmp_path / f"z{suffix}")
    found = read_latents(tmp_path / f"z{suffix}")
    assert (found.identity, found.image) == ("ab12", image)


def test_the_csv_has_a_column_a_value_under_a_comment(tmp_path):
    write_latents(some_latents(), tmp_path / "z.csv")
    comment, header, first, *_ = (tmp_path / "z.csv").read_text().splitlines()
    assert comment == "# hagan-clinic latents, image t1, model ab12"
    assert header == "subject,z0,z1,z2,z3,z4"
    assert first.startswith("a,")


class Touches:
    """What makes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_pickled_is_loaded(tmp_path):
    fields = {"latents": np.zeros((1, 2)), "identity": np.array("i"), "image": np.array("t1")}
    names = np.array([Touches(tmp_path / "ran")], dtype=object)
    np.savez(tmp_path / "z.npz", names=names, **fields)
    with pytest.raises(InputError, match=r"z\.npz: not a file of latents"):
        read_latents(tmp_path / "z.npz")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("z.npz", b"PK damaged", r"z\.npz: not a file of latents"),
        ("z.csv", b"subject,z0\na,1\n", "lacks the first line that names its model"),
        ("z.csv", b"# hagan-clinic latents, image t1, model ab\nsubject,z0\na,x\n", "not a file"),
        ("z.csv", b"# hagan-clinic latents, image t1, model ab\nsubject,z0\na,nan\n", "NaN or inf"),
        ("z.csv", b"# hagan-clinic latents, image t1, model ab\nsubject,z0\na,1\na,2\n", "a name"),
        ("z.txt", b"", r"expected \.npz or \.csv"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_latents(tmp_path / name)
    assert name in str(caught.value)


def test_a_missing_file_and_a_missing_array_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.npz: cannot be read \(No such file"):
        read_latents(tmp_path / "none.npz")
    np.savez(tmp_path / "z.npz", latents=np.zeros((1, 2)), names=np.array(["a"]))
    with pytest.raises(InputError, match="lacks identity, image"):
        read_latents(tmp_path / "z.npz")


def test_latents_of_another_model_or_size_are_refused():
    latents = some_latents()
    latents.check_fits("ab12", 5, "z.npz")
    with pytest.raises(InputError, match=r"z\.npz: latents of length 5, and the model's have 8"):
        latents.check_fits("ab12", 8, "z.npz")
    with pytest.raises(InputError, match=r"z\.npz: latents of another model \(weights ab12, this"):
        latents.check_fits("cd34", 5, "z.npz")


@pytest.mark.parametrize(
    "changes",
    [
        {"names": ("a", "b")},
        {"names": ("a", "b", "a")},
        {"labels": ("x",)},
        {"latents": np.full((3, 5), np.nan, np.float32)},
        {"latents": np.zeros((3, 0), np.float32)},
    ],
)
def test_parts_that_do_not_fit_are_refused(changes):
    with pytest.raises(InputError):
        some_latents(**changes)


def test_a_draw_depends_on_seed_and_number_alone():
    few, many = draw_latents(2, 64, seed=5), draw_latents(6, 64, seed=5)
    assert (few == many[:2]).all()
    assert np.unique(many).size == many.size
    assert (draw_latents(2, 64, seed=6) != few).all()
    z = draw_latents(64, 512, seed=0)
    assert abs(z.mean()) < 0.02 and abs(z.std() - 1) < 0.02


def test_truncation_draws_again_what_lies_beyond_and_nothing_else():
    whole, cut = draw_latents(4, 256, seed=1), draw_latents(4, 256, seed=1, truncation=0.8)
    inside = np.abs(whole) <= 0.8
    assert (cut[inside] == whole[inside]).all()
    assert np.abs(cut).max() <= 0.8
    # A normal distribution cut at 0.8 has a standard deviation of 0.434; clipping would give 0.66.
    assert abs(cut.std() - 0.434) < 0.03


@pytest.mark.parametrize("truncation", [0.0, -1.0, float("nan")])
def test_a_truncation_that_leaves_nothing_is_refused(truncation):
    with pytest.raises(InputError, match=r"truncation is .*expected 0\.01 or more"):
        draw_latents(1, 4, seed=0, truncation=truncation)
