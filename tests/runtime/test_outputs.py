import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from hagan_clinic.errors import OutputError
from hagan_clinic.runtime import outputs
from hagan_clinic.runtime.outputs import Outputs, all_or_none


def test_every_volume_has_its_sidecar_and_the_volume_comes_first():
    outputs = Outputs(Path("a/flair.nii.gz"), Path("a/u.mha"), Path("p.png"), Path("r.json"))
    assert outputs.paths == [
        Path(name)
        for name in ("a/flair.nii.gz", "a/flair.json", "a/u.mha", "a/u.json", "p.png", "r.json")
    ]


def _check(tmp_path, *, inputs=(), overwrite=False, **outputs):
    paths = {kind: tmp_path / name for kind, name in outputs.items()}
    Outputs(**paths).check([tmp_path / name for name in inputs], overwrite=overwrite)


def test_new_files_in_a_folder_that_exists_are_fine(tmp_path):
    _check(tmp_path, inputs=["t1.nii.gz"], image="flair.nii.gz", preview="flair.png")


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"the folder .*nowhere does not exist; create it"):
        _check(tmp_path, image="nowhere/flair.nii.gz")


@pytest.mark.parametrize("name", ["flair.nii.gz", "flair.json"])
def test_existing_output_or_sidecar_is_kept_unless_told_to_overwrite(tmp_path, name):
    (tmp_path / name).write_text("kept")
    with pytest.raises(OutputError, match=rf"{name}: exists already.*--overwrite"):
        _check(tmp_path, image="flair.nii.gz")
    _check(tmp_path, image="flair.nii.gz", overwrite=True)


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_output_that_is_the_input_is_refused_under_any_name(tmp_path, link):
    source = tmp_path / "t1.nii.gz"
    source.write_bytes(b"scan")
    if link:
        link(source, tmp_path / "flair.nii.gz")
    with pytest.raises(OutputError, match=r"this output is the input .*t1\.nii\.gz"):
        image = "flair.nii.gz" if link else "t1.nii.gz"
        _check(tmp_path, inputs=["t1.nii.gz"], image=image, overwrite=True)


def test_input_reached_through_a_linked_folder_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "t1.nii.gz").write_bytes(b"scan")
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    with pytest.raises(OutputError, match="this output is the input"):
        _check(tmp_path, inputs=["real/t1.nii.gz"], image="linked/t1.nii.gz", overwrite=True)


def test_two_outputs_of_one_path_are_refused(tmp_path):
    with pytest.raises(OutputError, match=r"flair\.json: two outputs have this path"):
        _check(tmp_path, image="flair.nii.gz", report="flair.json")


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("image", "flair.png", r"has \.png, expected one of \.nii"),
        ("image", "flair", "has no suffix"),
        ("preview", "p.jpg", r"has \.jpg, expected one of \.png"),
        ("report", "r.txt", r"has \.txt, expected one of \.json"),
    ],
)
def test_wrong_suffix_is_named(tmp_path, kind, name, expected):
    with pytest.raises(OutputError, match=expected):
        _check(tmp_path, **{kind: name})


def _write_all(paths, stop=None):
    with all_or_none(paths) as temporaries:
        for temporary in temporaries:
            temporary.write_text("whole")
        if stop:
            raise stop


def test_all_files_appear_together_and_the_first_one_last(tmp_path, monkeypatch):
    order = []
    replace = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda self, target: order.append(target.name) or replace(self, target)
    )
    _write_all([tmp_path / "flair.nii.gz", tmp_path / "flair.json", tmp_path / "r.json"])
    assert order == ["r.json", "flair.json", "flair.nii.gz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(order)


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(143), ValueError()])
def test_nothing_is_left_of_an_interrupted_run(tmp_path, stop):
    with pytest.raises(type(stop)):
        _write_all([tmp_path / "a.nii", tmp_path / "b.json"], stop)
    assert list(tmp_path.iterdir()) == []


def test_failure_of_the_last_move_takes_back_the_others(tmp_path, monkeypatch):
    replace = Path.replace

    def fail_on_image(self, target):
        if target.suffix == ".nii":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail_on_image)
    with pytest.raises(OutputError, match="the disk is full"):
        _write_all([tmp_path / "a.nii", tmp_path / "b.json"])
    assert list(tmp_path.iterdir()) == []


def test_what_stood_there_before_stays_after_a_failure(tmp_path):
    (tmp_path / "a.nii").write_text("before")
    with pytest.raises(ValueError, match="stop"):
        _write_all([tmp_path / "a.nii", tmp_path / "b.json"], ValueError("stop"))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def _no_links(*_):
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("failing", [".nii", ".json", ".png"])
def test_old_files_come_back_when_a_move_fails(tmp_path, monkeypatch, failing, links):
    paths = [tmp_path / "a.nii", tmp_path / "a.json", tmp_path / "p.png"]
    for path in paths[:2]:
        path.write_text("before")
    replace = Path.replace

    def fail(self, target):
        if target.suffix == failing and self.suffix == failing:
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", _no_links)
    with pytest.raises(OutputError, match="the disk is full"):
        _write_all(paths)
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"a.nii": "before", "a.json": "before"}


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_new_files_replace_old_ones_and_nothing_else_is_left(tmp_path, monkeypatch, links):
    (tmp_path / "real.nii").write_text("before")
    (tmp_path / "a.nii").symlink_to(tmp_path / "real.nii")
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", _no_links)
    _write_all([tmp_path / "a.nii", tmp_path / "a.json"])
    assert {path.name for path in tmp_path.iterdir()} == {"real.nii", "a.nii", "a.json"}
    assert (tmp_path / "a.nii").is_symlink()
    assert (tmp_path / "real.nii").read_text() == "whole"


def test_an_old_file_that_cannot_be_kept_is_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "a.nii").write_text("before")
    monkeypatch.setattr(Path, "hardlink_to", _no_links)

    def full(source, target):
        target.write_text("bef")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hagan_clinic.runtime.outputs.shutil.copy2", full)
    with pytest.raises(OutputError, match=r"a\.nii: cannot be kept until .*No space left"):
        _write_all([tmp_path / "a.nii", tmp_path / "b.json"])
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.nii", "before")]


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("first", ["a.nii", "a.json", "p.png"])
def test_of_two_runs_at_once_the_second_is_refused_and_takes_nothing_away(
    tmp_path, monkeypatch, first, links
):
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", _no_links)
    paths = [tmp_path / name for name in ("a.nii", "a.json", "p.png")]
    with (
        pytest.raises(OutputError, match=f"{first}: appeared during this run"),
        all_or_none(paths, overwrite=False) as temporaries,
    ):
        for temporary in temporaries:
            temporary.write_text("second")
        (tmp_path / first).write_text("first")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {first: "first"}
    with all_or_none(paths, overwrite=True) as temporaries:
        for temporary in temporaries:
            temporary.write_text("third")
    assert {path.read_text() for path in tmp_path.iterdir()} == {"third"}


@pytest.mark.parametrize("there", [True, False], ids=["empty folder", "no folder"])
def test_of_two_runs_at_once_the_second_series_is_refused(tmp_path, there):
    out, report = tmp_path / "out", tmp_path / "r.json"
    if there:
        out.mkdir()
    for order in ([out, report], [report, out]):
        with (
            pytest.raises(OutputError, match="the folder is not empty"),
            all_or_none(order, overwrite=False) as temporaries,
        ):
            _series(temporaries[order.index(out)])
            temporaries[order.index(report)].write_text("{}")
            out.mkdir(exist_ok=True)
            _series(out, 5)
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        assert len(list(out.iterdir())) == 5
        for path in out.iterdir():
            path.unlink()
        if not there:
            out.rmdir()


def test_an_empty_folder_comes_back_after_a_failure(tmp_path):
    out, report = tmp_path / "out", tmp_path / "r.json"
    out.mkdir()
    with (
        pytest.raises(OutputError, match="appeared during"),
        all_or_none([report, out], overwrite=False) as temporaries,
    ):
        _series(temporaries[1])
        temporaries[0].write_text("{}")
        report.write_text("first")
    assert list(out.iterdir()) == []
    assert report.read_text() == "first"


def _series(folder, count=3):
    for number in range(count):
        (folder / f"{number:04}.dcm").write_bytes(b"slice")


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    out, report = tmp_path / "out", tmp_path / "r.json"
    with all_or_none([out, report]) as (folder, file):
        _series(folder)
        file.write_text("{}")
        assert not out.exists()
    assert len(list(out.iterdir())) == 3
    with pytest.raises(KeyboardInterrupt), all_or_none([tmp_path / "other"]) as (folder,):
        _series(folder)
        raise KeyboardInterrupt
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "r.json"]


def test_an_old_folder_is_replaced_whole_and_comes_back_after_a_failure(tmp_path, monkeypatch):
    out, report = tmp_path / "out", tmp_path / "r.json"
    out.mkdir()
    _series(out, 7)
    real = outputs.atomic_path

    @contextmanager
    def failing(path, **options):
        with real(path, **options) as temporary:
            yield temporary
            raise OutputError("no")

    # The report is moved first, so the failure comes when the folder has not been moved yet; with
    # the report in the first place it comes after.
    for order in ([out, report], [report, out]):
        with monkeypatch.context() as patch:
            patch.setattr(outputs, "atomic_path", failing)
            with pytest.raises(OutputError), all_or_none(order) as temporaries:
                _series(temporaries[order.index(out)])
                temporaries[order.index(report)].write_text("{}")
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        assert len(list(out.iterdir())) == 7
    with all_or_none([out]) as (folder,):
        _series(folder)
    assert len(list(out.iterdir())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("flair.dcm", r"or no suffix for a folder of DICOM"),
        ("new", r"needs a DICOM series as the scan, or --dicom-like"),
    ],
)
def test_a_folder_needs_a_series_to_derive_one_from(tmp_path, name, message):
    with pytest.raises(OutputError, match=message):
        Outputs(tmp_path / name).check([], overwrite=False)
    if name == "new":
        Outputs(tmp_path / name).check([], overwrite=False, from_series=True)


def test_an_overwritten_folder_holds_nothing_but_a_series(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    check = Outputs(out).check
    check([], overwrite=False, from_series=True)
    _series(out)
    with pytest.raises(OutputError, match="is not empty"):
        check([], overwrite=False, from_series=True)
    check([], overwrite=True, from_series=True)
    (out / "inner").mkdir()
    with pytest.raises(OutputError, match=r"holds inner besides \.dcm files"):
        check([], overwrite=True, from_series=True)
