from pathlib import PurePath

import pytest

from hagan_clinic.data.examinations import examinations
from hagan_clinic.errors import InputError


@pytest.fixture
def files(tmp_path):
    """The function that makes files of these names, which are found by name alone."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def test_every_session_and_run_of_bids_is_an_examination(files):
    root = files(
        "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_run-1_T1w.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_run-2_T1w.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_ce-gadolinium_T1w.nii.gz",
        "sub-02/anat/sub-02_FLAIR.nii.gz",
        "derivatives/bet/sub-01/ses-1/anat/sub-01_ses-1_desc-preproc_T1w.nii.gz",
    )
    found, is_bids = examinations(root, ["t1"])
    assert is_bids
    assert [(one.subject, one.scans["t1"].name) for one in found] == [
        ("sub-01_ses-1", "sub-01_ses-1_T1w.nii.gz"),
        ("sub-01_ses-2", "sub-01_ses-2_run-1_T1w.nii.gz"),
        ("sub-01_ses-2", "sub-01_ses-2_run-2_T1w.nii.gz"),
    ]
    assert found[0].folder == PurePath("sub-01/ses-1/anat")


def test_brats_folders_need_no_target_and_share_a_mask(files):
    root = files("brain_mask.nii.gz", "a/a_t1.nii.gz", "a/a_t1ce.nii.gz", "b/b_t1.nii.gz")
    found, is_bids = examinations(root, ["t1"])
    assert not is_bids
    assert [(one.subject, one.folder, one.mask) for one in found] == [
        ("a", PurePath("a"), root / "brain_mask.nii.gz"),
        ("b", PurePath("b"), root / "brain_mask.nii.gz"),
    ]


def test_a_fault_of_one_examination_leaves_the_others_whole(files):
    root = files("a/a_t1.nii.gz", "a/a_t2.nii.gz", "b/b_t1.nii.gz")
    files("c/c_t1.nii.gz", "c/c_t2.nii.gz", "c/c_t2w.nii.gz")
    found, _ = examinations(root, ["t1", "t2"])
    assert [one.subject for one in found if one.problem is None] == ["a"]
    assert str(found[1].problem).startswith("b lacks t2; ")
    assert "c has 2 files for t2" in str(found[2].problem)


def test_no_source_is_an_input_error(files):
    with pytest.raises(InputError, match="holds no t1; looked for file names ending in"):
        examinations(files("a/a_t2.nii.gz"), ["t1"])
