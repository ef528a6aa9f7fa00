import json
import shutil

import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import write
from hagan_clinic.runtime.page import find_results, read_result, results
from hagan_clinic.runtime.provenance import file_sha256


@pytest.fixture
def cohort(tmp_path, images):
    """Scans in one folder, and their results with other names in others."""
    scans, results = tmp_path / "scans", tmp_path / "out" / "deep"
    scans.mkdir()
    results.mkdir(parents=True)
    for number in ("1", "2"):
        scan = scans / f"{number}_t1.nii.gz"
        cut = images["t1"].array[: 80 + int(number), :80, :80]
        write(type(images["t1"])(cut, images["t1"].affine), scan)
        made = {
            "synthetic": True,
            "model": {"name": "a model", "sha256": "ab"},
            "sources": {"t1": {"file": scan.name, "sha256": file_sha256(scan)}},
        }
        for name, content in (("x", "flair synthesised from t1"), ("y", "uncertainty of it")):
            shutil.copy(scan, results / f"{name}{number}.nii.gz")
            sidecar = {**made, "content": content}
            (results / f"{name}{number}.json").write_text(json.dumps(sidecar))
        report = {**made, "warnings": [f"warning {number}"]}
        (results / f"report{number}.json").write_text(json.dumps(report))
    return tmp_path


def test_what_belongs_to_a_result_is_found_by_its_sidecar(cohort):
    scans, out = cohort / "scans", cohort / "out"
    first, second = find_results([out, scans])
    assert first.path == out / "deep" / "x1.nii.gz" and first.target == "flair"
    assert first.sources == {"t1": scans / "1_t1.nii.gz"}
    assert second.uncertainty == out / "deep" / "y2.nii.gz"
    assert second.warnings == ["warning 2"]
    assert read_result(second, 2**20).warnings == ("warning 2",)


def test_an_error_bar_made_with_another_mask_is_not_shown(cohort):
    sidecar = cohort / "out" / "deep" / "y1.json"
    told = {**json.loads(sidecar.read_text()), "settings": {"mask_sha256": "cd"}}
    sidecar.write_text(json.dumps(told))
    first, second = find_results([cohort])
    assert first.uncertainty is None and second.uncertainty is not None


def test_of_files_only_those_named_are_results(cohort):
    named = cohort / "out" / "deep" / "x2.nii.gz"
    (only,) = find_results([named, cohort / "scans" / "1_t1.nii.gz"])
    assert only.path == named
    assert only.sources["t1"].name == "2_t1.nii.gz"  # from the folder of the other scan


def test_a_scan_that_has_changed_is_not_shown_as_the_source(cohort):
    scans = cohort / "scans"
    shutil.copy(scans / "2_t1.nii.gz", scans / "1_t1.nii.gz")
    with pytest.raises(InputError, match=r"1_t1\.nii\.gz, is not here \(by name and sha256\)"):
        find_results([cohort])


def test_results_of_one_name_are_told_apart_by_their_folders(cohort):
    deep = cohort / "out" / "deep"
    other = cohort / "out" / "other"
    shutil.copytree(deep, other)
    for name in ("x1", "x2"):
        for suffix in (".nii.gz", ".json"):
            (deep / f"{name}{suffix}").rename(deep / f"a{name}{suffix}")
    names = [result.name for result in find_results([cohort])]
    assert names == ["ax1", "ax2", "x1", "x2"]
    (deep / "ax1.nii.gz").rename(deep / "x1.nii.gz")
    (deep / "ax1.json").rename(deep / "x1.json")
    assert sorted(r.name for r in find_results([cohort])) == [
        "deep/ax2", "deep/x1", "other/x1", "other/x2",
    ]  # fmt: skip


def test_a_folder_without_results_and_a_missing_one_are_told(cohort):
    with pytest.raises(InputError, match="calls it synthesised"):
        find_results([cohort / "scans"])
    with pytest.raises(InputError, match=r"none\.nii\.gz: does not exist"):
        find_results([cohort, cohort / "none.nii.gz"])


def test_each_scan_is_hashed_and_each_file_of_facts_read_once(tmp_path, images, monkeypatch):
    scans, out = tmp_path / "scans", tmp_path / "out"
    volume = images["t1"]
    for number in range(12):
        scan = scans / f"{number:02}" / "t1.nii.gz"
        scan.parent.mkdir(parents=True)
        write(type(volume)(volume.array[:8, :8, :8] + number, volume.affine), scan)
        place = out / f"{11 - number:02}"  # the last scan first
        place.mkdir(parents=True)
        shutil.copy(scan, place / "x.nii.gz")
        told = {
            "synthetic": True,
            "content": "flair synthesised from t1",
            "model": {"sha256": "ab"},
            "sources": {"t1": {"file": scan.name, "sha256": file_sha256(scan)}},
        }
        (place / "x.json").write_text(json.dumps(told))
        (place / "report.json").write_text(json.dumps({**told, "warnings": [str(number)]}))
    hashed, read_facts = [], []
    monkeypatch.setattr(
        results, "file_sha256", lambda path: hashed.append(path) or file_sha256(path)
    )
    as_ever = results.read_report
    monkeypatch.setattr(
        results, "read_report", lambda path: read_facts.append(path) or as_ever(path)
    )
    found = find_results([out, scans])
    assert [result.warnings for result in found] == [[str(n)] for n in range(11, -1, -1)]
    assert len(hashed) == len(set(hashed)) == 12
    assert len(read_facts) == len(set(read_facts)) == 12
