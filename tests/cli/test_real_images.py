from pathlib import Path

import pytest

from hagan_clinic.cli.real_images import real_images
from hagan_clinic.errors import InputError
from hagan_clinic.runtime.page.results import FoundResult


def result_of(scan):
    return FoundResult(Path("out") / scan.name, scan.name, "flair", {"t1": scan})


def made(folder, *names):
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


@pytest.mark.parametrize(
    ("scan", "real", "others"),
    [
        ("sub-01_T1w.nii.gz", "sub-01_FLAIR.nii.gz", ["sub-02_FLAIR.nii.gz", "sub-01_T2w.nii.gz"]),
        ("B-001-000-t1n.nii.gz", "B-001-000-t2f.nii.gz", ["B-001-000-t2w.nii.gz"]),
        ("07/t1.nii.gz", "07/flair.nii.gz", ["08/flair.nii.gz", "07/x_flair.nii.gz"]),
        ("a/p_t1.nii.gz", "b/p_flair.nii.gz", ["b/p_t1_flair.nii.gz"]),
    ],
)
def test_the_real_image_is_named_as_the_scan_but_for_the_sequence(tmp_path, scan, real, others):
    made(tmp_path, scan, real, *others)
    assert real_images([result_of(tmp_path / scan)], tmp_path) == [tmp_path / real]


def test_a_result_without_a_real_image_has_none(tmp_path):
    one, other, real = made(tmp_path, "1_t1.nii.gz", "2_t1.nii.gz", "2_flair.nii.gz")
    assert real_images([result_of(one), result_of(other)], tmp_path) == [None, real]


def test_what_cannot_be_matched_is_told(tmp_path):
    one, other = made(tmp_path, "t1.nii.gz", "x/t1.nii.gz")
    with pytest.raises(InputError, match=r"has no real flair for t1\.nii\.gz"):
        real_images([result_of(one)], tmp_path)
    with pytest.raises(InputError, match="one file, for 2 results"):
        real_images([result_of(one), result_of(other)], one)
    scan, *_ = made(tmp_path, "p_t1.nii.gz", "a/p_flair.nii.gz", "b/p_flair.nii.gz")
    with pytest.raises(InputError, match="2 images may be its real flair"):
        real_images([result_of(scan)], tmp_path)
