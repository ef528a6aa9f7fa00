"""Files of others, damaged and hostile ones are refused by name, and nothing in them is run."""

import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from hagan_clinic.cli import main
from hagan_clinic.errors import ModelError
from hagan_clinic.unconditional.released import read_released


class Code:
    """What a hostile pickle does when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def refused(paths, folder):
    """Exit code and message of the command, which leaves nothing behind."""
    before = sorted(folder.iterdir())
    arguments = ["import-weights", *map(str, paths), "-o", str(folder / "run")]
    result = CliRunner().invoke(main, arguments)
    assert sorted(folder.iterdir()) == before
    assert result.stderr.count("\n") == 1
    return result.exit_code, result.stderr


@pytest.mark.parametrize(
    "save",
    [torch.save, lambda x, path: path.write_bytes(pickle.dumps(x))],
    ids=["torch.save", "pickle"],
)
def test_code_in_a_file_is_refused_and_not_run(released_models, authors_weights, tmp_path, save):
    paths, _ = authors_weights(128, **released_models[128])
    hostile = tmp_path / "G.pth"
    save({"fc1.weight": torch.zeros(1), "fc1.bias": Code(tmp_path / "it_ran")}, hostile)
    code, message = refused([hostile, *paths[1:]], tmp_path)
    assert code == 4
    assert f"{hostile} is damaged, or no file of tensors alone" in message
    assert "nothing in it was run" in message
    torch.load(hostile, weights_only=False) if save is torch.save else pickle.loads(
        hostile.read_bytes()
    )
    assert (tmp_path / "it_ran").exists()  # the code was real


def flipped(path):
    """One bit of a tensor changed."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    "damage",
    [flipped, cut, lambda path: path.write_bytes(b"")],
    ids=["flipped", "cut", "empty"],
)
def test_a_corrupt_file_is_named(released_models, authors_weights, tmp_path, damage):
    paths, _ = authors_weights(128, **released_models[128])
    damaged = tmp_path / "Sub_E.pth"
    shutil.copy(paths[3], damaged)
    damage(damaged)
    code, message = refused([*paths[:3], damaged], tmp_path)
    assert code == 4
    assert f"{damaged} is damaged" in message


def changed(contents, **changes):
    return {k: v for k, v in (contents | changes).items() if v is not None}


@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        (2, {"conv2.bias": None}, "does not fit the 128 model: conv2.bias missing"),
        (2, {"conv9.bias": torch.ones(1)}, "does not fit the 128 model: conv9.bias unexpected"),
        (
            2,
            {"conv2.bias": torch.ones(31)},
            r"conv2.bias has the shape (31,), expected (32,)",
        ),
        (2, {"conv2.bias": torch.full((32,), torch.nan)}, "conv2.bias is not finite"),
        (2, {"conv2.bias": torch.ones(32, dtype=torch.int64)}, "something else than tensors"),
        (3, {"conv5.weight": None}, "conv5.weight is missing: give the four files"),
        (3, {"conv5.weight": torch.ones(())}, "conv5.weight is empty"),
        (3, {"conv1.weight": torch.ones(64, 64, 4, 4, 4)}, "conv1.weight unexpected"),
        (1, {"fc2_class.weight": None}, "does not fit the 128 model: fc2_class.weight missing"),
        (1, {"sub_D.conv5.weight": torch.ones(2, 256, 4, 4, 4)}, "has a head for one class"),
        (1, {"conv1.weight": torch.ones(16, 1, 4, 4, 4)}, "does not fit the 256 model: "),
    ],
)
def test_tensors_of_neither_model_are_named(
    released_models, authors_weights, tmp_path, number, change, message
):
    paths, contents = authors_weights(128, **released_models[128])
    other = tmp_path / "other.pth"
    torch.save(changed(list(contents.values())[number], **change), other)
    code, told = refused([*paths[:number], other, *paths[number + 1 :]], tmp_path)
    assert code == 4
    assert f"{other}" in told or "256 model" in message
    assert message in told


def test_files_in_another_order_are_named(released_models, authors_weights, tmp_path):
    paths, _ = authors_weights(128, **released_models[128])
    code, message = refused([paths[1], paths[0], *paths[2:]], tmp_path)
    assert code == 4
    assert "give the four files of one model in the order G, D, E, Sub_E" in message


def test_files_of_two_models_are_named(released_models, authors_weights, tmp_path):
    small, large = (authors_weights(side, **released_models[side])[0] for side in (128, 256))
    code, message = refused([*large[:3], small[3]], tmp_path)
    assert code == 4
    assert f"{small[3]} does not fit the 256 model: bn1.bias, bn1.weight, conv1.bias" in message


@pytest.mark.parametrize("content", [torch.ones(3), {}, {"a": 1}, [torch.ones(1)]])
def test_what_is_no_state_dict_is_named(released_models, authors_weights, tmp_path, content):
    paths, _ = authors_weights(128, **released_models[128])
    other = tmp_path / "E.pth"
    torch.save(content, other)
    with pytest.raises(ModelError, match="something else than tensors by name"):
        read_released(*paths[:2], other, paths[3])


def test_a_tensor_that_asks_for_more_than_its_file_holds_is_refused(authors_weights, tmp_path):
    paths, contents = authors_weights(128)
    name = next(iter(contents["G"]))
    huge = torch.zeros(1).expand(10**5, 10**5)  # 40 GB of one number
    path = tmp_path / "huge.pth"
    torch.save({**contents["G"], name: huge}, path)
    with pytest.raises(ModelError, match="made to exhaust the memory"):
        read_released(path, *paths[1:])


def test_a_file_that_inflates_is_refused(authors_weights, tmp_path):
    paths, _ = authors_weights(128)
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(2**26))
    with pytest.raises(ModelError, match="inflates to 67108864 bytes"):
        read_released(path, *paths[1:])


def test_a_missing_file_and_a_taken_folder_are_named(released_models, authors_weights, tmp_path):
    paths, _ = authors_weights(128, **released_models[128])
    code, message = refused([*paths[:3], tmp_path / "nothing.pth"], tmp_path)
    assert (code, "cannot read" in message) == (4, True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "kept").write_text("kept")
    code, message = refused(paths, tmp_path)
    assert (code, "exists and is not empty" in message) == (6, True)
