import hashlib
from pathlib import Path

import pytest

from hagan_clinic.errors import ModelError
from hagan_clinic.runtime import library
from hagan_clinic.runtime.synthesis import onnx_generator


@pytest.fixture
def checkout(tmp_path, monkeypatch, make_generator):
    """A checkout with one bundled model, and an installation without any."""
    folder = tmp_path / "export" / "toy"
    folder.mkdir(parents=True)
    content = make_generator(folder / "toy.onnx").read_bytes()
    (folder / "card.md").write_text("A toy.\n")
    sums = {"toy.onnx": content, "card.md": b"A toy.\n"}
    lines = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sums.items())
    (folder / "SHA256").write_text("".join(lines))
    monkeypatch.setattr(library, "CHECKOUT", tmp_path / "export")
    monkeypatch.setattr(library, "INSTALLED", tmp_path / "models")
    return tmp_path


def test_bundled_model_is_found_by_name(checkout):
    assert library.find_model("toy") == checkout / "export/toy/toy.onnx"


def test_installed_model_goes_before_the_checkouts(checkout, make_generator):
    (checkout / "models" / "toy").mkdir(parents=True)
    installed = make_generator(checkout / "models/toy/toy.onnx")
    assert library.find_model("toy") == installed


def test_other_files_in_the_folder_are_no_models(checkout, make_generator):
    make_generator(checkout / "export/toy/checkpoint.onnx")
    assert list(library.bundled_models()) == ["toy"]


@pytest.mark.parametrize("given", ["./mine", "folder/mine", "mine.onnx"])
def test_anything_like_a_path_is_a_path(checkout, given):
    assert str(library.find_model(given)) == given.removeprefix("./")


def test_unknown_name_lists_those_that_exist(checkout):
    with pytest.raises(ModelError, match=r"No bundled model is called 'toys'; there is toy\."):
        library.find_model("toys")


def test_model_as_published_is_verified(checkout):
    assert library.verified(library.find_model("toy")).card.name == "toy"


def test_changed_card_is_found_by_verification(checkout):
    (checkout / "export/toy/card.md").write_text("A better toy.\n")
    with pytest.raises(ModelError, match=r"card\.md: sha256 is .*, expected"):
        library.verified(library.find_model("toy"))


def test_missing_listed_file_is_found_by_verification(checkout):
    (checkout / "export/toy/card.md").unlink()
    with pytest.raises(ModelError, match=r"card\.md: cannot be read .* SHA256 lists it"):
        library.verified(library.find_model("toy"))


def test_model_without_checksums_cannot_be_verified(toy_generator):
    with pytest.raises(ModelError, match="no SHA256 file beside it"):
        library.verified(toy_generator)


def test_a_name_is_one_as_a_path_too_where_there_is_no_such_file(checkout, monkeypatch):
    """Commands whose option takes a path."""
    monkeypatch.chdir(checkout)
    assert library.find_model(Path("toy")) == checkout / "export/toy/toy.onnx"
    with pytest.raises(ModelError, match=r"toy\.onnx: .*expected"):
        onnx_generator(Path("toy"))
    (checkout / "toy").touch()
    assert library.find_model(Path("toy")) == Path("toy")
    assert library.find_model(Path("none")) == Path("none")
