import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from hagan_clinic.data.cohort import check_cohort, find_cohort, patient_of, search_cohort
from hagan_clinic.errors import InputError


def image(path, shape=(6, 7, 8), shift=0.0):
    """A small NIfTI file, its origin moved by some mm along x."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.eye(4)
    affine[0, 3] = shift
    nib.save(nib.Nifti1Image(np.ones(shape, np.uint8), affine), path)
    return path


def pair(folder, name, separator="_", endings=("t1", "flair")):
    for ending in endings:
        image(folder / f"{name}{separator}{ending}.nii.gz")


def csv(folder, *lines):
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")
    return folder / "cohort.csv"


def test_brats_folders_to_2021(tmp_path):
    for name in ("BraTS20_Training_002", "BraTS20_Training_001"):
        pair(tmp_path / name, name, endings=("t1", "t1ce", "t2", "flair", "seg"))
    first, second = find_cohort(tmp_path)
    assert (first.name, second.name) == ("BraTS20_Training_001", "BraTS20_Training_002")
    assert first.patient == first.name
    assert [file.name for file in first.images.values()] == [
        "BraTS20_Training_001_t1.nii.gz",
        "BraTS20_Training_001_flair.nii.gz",
    ]
    assert first.lesion.name == "BraTS20_Training_001_seg.nii.gz"
    assert first.mask is None


def test_brats_2023_names_and_time_points(tmp_path):
    for name in ("BraTS-GLI-00021-000", "BraTS-GLI-00021-001"):
        pair(tmp_path / name, name, "-", ("t1n", "t1c", "t2w", "t2f", "seg"))
    subjects = find_cohort(tmp_path, sources=("t1", "t1c", "t2"), target="flair")
    assert len(subjects) == 2
    assert {subject.patient for subject in subjects} == {"BraTS-GLI-00021"}
    assert [file.name[20:] for file in subjects[0].images.values()] == [
        "t1n.nii.gz", "t1c.nii.gz", "t2w.nii.gz", "t2f.nii.gz",
    ]  # fmt: skip


def test_nested_and_flat_folders_and_uncompressed_files(tmp_path):
    pair(tmp_path / "HGG" / "a", "a")
    pair(tmp_path, "b")
    image(tmp_path / "c" / "T1.nii")
    image(tmp_path / "c" / "FLAIR.nii")
    assert [subject.name for subject in find_cohort(tmp_path)] == ["a", "b", "c"]


def test_a_folder_for_each_sequence(tmp_path):
    image(tmp_path / "IXI-T1" / "IXI002-Guys-0828-T1.nii.gz")
    image(tmp_path / "IXI-T2" / "IXI002-Guys-0828-T2.nii.gz")
    (subject,) = find_cohort(tmp_path, target="t2")
    assert subject.name == "IXI002-Guys-0828" and list(subject.images) == ["t1", "t2"]


def test_bids_with_sessions(tmp_path):
    for session in ("ses-1", "ses-2"):
        pair(tmp_path / "sub-01" / session / "anat", f"sub-01_{session}", "_", ("T1w", "FLAIR"))
    pair(tmp_path / "sub-02" / "anat", "sub-02", "_", ("T1w", "FLAIR", "ce-gadolinium_T1w"))
    image(tmp_path / "sub-02" / "func" / "sub-02_task-rest_bold.nii.gz")
    image(tmp_path / "derivatives/bet/sub-02/anat/sub-02_desc-brain_mask.nii.gz")
    image(tmp_path / "derivatives/bet/sub-02/anat/sub-02_space-MNI_desc-brain_mask.nii.gz")
    image(tmp_path / "derivatives/bet/sub-02/anat/sub-02_desc-preproc_T1w.nii.gz")
    subjects = find_cohort(tmp_path)
    assert [(s.name, s.patient) for s in subjects] == [
        ("sub-01_ses-1", "sub-01"), ("sub-01_ses-2", "sub-01"), ("sub-02", "sub-02"),
    ]  # fmt: skip
    assert subjects[2].images["t1"].name == "sub-02_T1w.nii.gz"
    assert subjects[2].mask.name == "sub-02_desc-brain_mask.nii.gz"
    assert subjects[0].mask is None


def test_of_a_bids_dataset_only_raw_data_count(tmp_path):
    pair(tmp_path / "sub-01" / "anat", "sub-01", "_", ("T1w", "FLAIR"))
    image(tmp_path / "sourcedata/sub-01/anat/sub-01_T1w.nii.gz")
    image(tmp_path / "code/sub-01/anat/sub-01_T1w.nii.gz")
    image(tmp_path / "sub-01/anat/sub-01_run-2_T1w.nii.gz")
    image(tmp_path / "extra/old/sub-01/anat/sub-01_T1w.nii.gz")
    (tmp_path / ".bidsignore").write_text("# ours\n\n*_run-2_T1w.nii.gz\nextra/old/\n")
    (subject,) = find_cohort(tmp_path)
    assert subject.images["t1"] == tmp_path / "sub-01/anat/sub-01_T1w.nii.gz"
    (subject,) = find_cohort(tmp_path / "sourcedata", target=None)
    assert subject.images["t1"].parts[-4] == "sourcedata"


def test_names_that_begin_with_a_dot_are_no_scans(tmp_path):
    pair(tmp_path / "a", "a")
    (tmp_path / "a" / "._a_t1.nii.gz").write_bytes(b"\0\5\x16\7 Mac OS X")
    image(tmp_path / ".git" / "annex" / "a_t1.nii.gz")
    assert [subject.name for subject in find_cohort(tmp_path)] == ["a"]


def test_csv_with_every_column(tmp_path):
    pair(tmp_path, "a")
    image(tmp_path / "m.nii.gz"), image(tmp_path / "s.nii.gz")
    file = csv(
        tmp_path,
        "subject,t1,flair,mask,seg,patient,split",
        "x,a_t1.nii.gz,a_flair.nii.gz,m.nii.gz,s.nii.gz,p9,train",
    )
    (subject,) = find_cohort(file)
    assert subject.name == "x" and subject.patient == "p9" and subject.split == "train"
    assert subject.images == {"t1": tmp_path / "a_t1.nii.gz", "flair": tmp_path / "a_flair.nii.gz"}
    assert subject.mask == tmp_path / "m.nii.gz" and subject.lesion == tmp_path / "s.nii.gz"


def test_csv_with_modalities_alone(tmp_path):
    pair(tmp_path, "a")
    (subject,) = find_cohort(csv(tmp_path, "t1,flair", "a_t1.nii.gz,a_flair.nii.gz"))
    assert (subject.name, subject.patient, subject.mask, subject.split) == ("a", "a", None, None)


def test_masks_own_before_cohort_and_given_before_all(tmp_path):
    pair(tmp_path / "a", "a")
    pair(tmp_path / "b", "b", endings=("t1", "flair", "brain_mask"))
    pair(tmp_path / "c", "c", endings=("t1", "flair", "mask"))
    image(tmp_path / "brain_mask.nii.gz")
    masks = [subject.mask.name for subject in find_cohort(tmp_path)]
    assert masks == ["brain_mask.nii.gz", "b_brain_mask.nii.gz", "c_mask.nii.gz"]
    given = image(tmp_path.parent / "given.nii.gz")
    assert {subject.mask for subject in find_cohort(tmp_path, mask=given)} == {given}


def test_unconditional_cohort_needs_the_one_sequence_alone(tmp_path):
    pair(tmp_path, "a", endings=("t1",))
    (subject,) = find_cohort(tmp_path, target=None)
    assert list(subject.images) == ["t1"]


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("BraTS-MET-00101-003", "BraTS-MET-00101"),
        ("TCGA_CS_4941_19960909", "TCGA_CS_4941"),
        ("TCGA-DU-7294", "TCGA_DU_7294"),
        ("sub-07_ses-2", "sub-07"),
        ("patient-7", "patient-7"),
    ],
)
def test_patient_behind_a_name(name, patient):
    assert patient_of(name) == patient


def test_missing_sequences_are_named(tmp_path):
    pair(tmp_path, "a")
    pair(tmp_path, "b", endings=("t1",))
    pair(tmp_path, "c", endings=("flair",))
    pair(tmp_path, "other", endings=("pet",))
    message = "2 of 3 subjects .* ambiguous: b lacks flair, c lacks t1; add the file"
    with pytest.raises(InputError, match=message):
        find_cohort(tmp_path)


def test_missing_sequences_are_named_in_bids(tmp_path):
    pair(tmp_path / "sub-1/anat", "sub-1", endings=("T1w", "ce-gd_T1w"))
    pair(tmp_path / "sub-2/anat", "sub-2", endings=("T1w", "FLAIR"))
    with pytest.raises(InputError, match="sub-1 lacks flair"):
        find_cohort(tmp_path)


def test_a_sequence_that_nobody_has_is_told_with_those_there_are(tmp_path):
    for name in ("sub-1", "sub-2"):
        pair(tmp_path / name / "anat", name, endings=("run-1_T1w", "run-2_T1w", "mask"))
    pair(tmp_path / "sub-3" / "anat", "sub-3", endings=("T1w", "T2w", "pet"))
    with pytest.raises(InputError) as refused:
        find_cohort(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path}: no subject has flair, looked for in names ending in flair, t2f; found t1 in "
        "3, pet in 1, t2 in 1; check and train take other sequences by --source and --target, or "
        "one alone by --image"
    )


def test_all_subjects_that_cannot_be_used_are_named_at_once(tmp_path):
    pair(tmp_path / "a", "a", endings=("T1w", "t1n", "flair"))
    pair(tmp_path / "b", "b", endings=("t1",))
    pair(tmp_path / "c", "c", endings=("t1", "flair", "mask", "brain_mask", "seg", "lesion"))
    pair(tmp_path / "d", "d")
    with pytest.raises(InputError) as refused:
        find_cohort(tmp_path)
    assert str(refused.value) == (
        f"3 of 4 subjects of {tmp_path} are incomplete or ambiguous: a has 2 files for t1 "
        "(a/a_t1n.nii.gz, a/a_T1w.nii.gz), b lacks flair, c has 2 files for mask "
        "(c/c_brain_mask.nii.gz, c/c_mask.nii.gz), c has 2 files for lesion (c/c_seg.nii.gz, "
        "c/c_lesion.nii.gz); name one in a CSV, or remove the others; add the file, or leave the "
        "subject out by a CSV"
    )
    subjects, _ = search_cohort(tmp_path)
    assert [list(one.images) for one in subjects] == [["flair"], ["t1"], *[["t1", "flair"]] * 2]


def test_all_faults_of_a_csv_are_named_at_once(tmp_path):
    pair(tmp_path, "a")
    rows = ["a_t1.nii.gz,a_flair.nii.gz", "b_t1.nii.gz,", ",", "a_t1.nii.gz,a_flair.nii.gz"]
    with pytest.raises(InputError) as refused:
        find_cohort(csv(tmp_path, "t1,flair", *rows))
    assert str(refused.value) == (
        f"3 of 3 subjects of {tmp_path}/cohort.csv are incomplete or ambiguous: b lacks t1 (line "
        f"3: {tmp_path}/b_t1.nii.gz does not exist), b lacks flair (line 3: no file), line 4 lacks "
        "t1 (line 4: no file), line 4 lacks flair (line 4: no file), a comes twice (line 5); add "
        "the file, or leave the subject out by a CSV; give each examination its own name in a "
        "column 'subject'"
    )


def test_two_files_for_one_sequence_are_refused(tmp_path):
    pair(tmp_path / "sub-1/anat", "sub-1", endings=("run-1_T1w", "run-2_T1w", "FLAIR"))
    with pytest.raises(InputError, match=r"sub-1 has 2 files for t1 .*sub-1_run-1_T1w\.nii\.gz"):
        find_cohort(tmp_path)


def test_two_subjects_of_one_name_are_refused(tmp_path):
    pair(tmp_path / "site1", "a")
    pair(tmp_path / "site2", "a")
    with pytest.raises(InputError, match=r"a has 2 files for t1 .*site1.*site2"):
        find_cohort(tmp_path)


def test_patients_that_are_links_are_found_and_circles_are_not_walked(tmp_path):
    pair(tmp_path / "disk" / "p1", "p1")
    pair(tmp_path / "disk" / "p2", "p2")
    cohort = tmp_path / "cohort"
    pair(cohort / "p3", "p3")
    for name in ("p1", "p2"):
        (cohort / name).symlink_to(tmp_path / "disk" / name)
    (tmp_path / "disk" / "p1" / "up").symlink_to(cohort)
    (cohort / "self").symlink_to(cohort)
    (cohort / "all").symlink_to(tmp_path)
    assert [subject.name for subject in find_cohort(cohort)] == ["p1", "p2", "p3"]
    assert find_cohort(cohort)[0].images["t1"] == cohort / "p1" / "p1_t1.nii.gz"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["t1,mask", "a_t1.nii.gz,"],
            r"columns \['t1', 'mask'\]; expected \['t1', 'flair'\].* by --image",
        ),
        (
            ["t1,flair", "a_t1.nii.gz,none.nii.gz"],
            r"a lacks flair \(line 2: .*none.nii.gz does not",
        ),
        (["t1,flair", "a_t1.nii.gz,"], r"a lacks flair \(line 2: no file"),
        (["t1,flair", "a_t1.nii.gz"], r"a lacks flair \(line 2: no file"),
        (["t1,flair"], "lists no subject"),
        ([], "has the columns"),
        (["t1,flair", *["a_t1.nii.gz,a_flair.nii.gz"] * 2], r"a comes twice \(line 3\)"),
    ],
)
def test_malformed_csv_is_refused(tmp_path, lines, message):
    pair(tmp_path, "a")
    with pytest.raises(InputError, match=message):
        find_cohort(csv(tmp_path, *lines))


def test_csv_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "cohort.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match=r"cohort\.csv is not a CSV"):
        find_cohort(tmp_path / "cohort.csv")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none", "neither a folder nor a .csv file"),
        ("notes.txt", "neither a folder nor a .csv file"),
        ("empty", "holds no .nii or .nii.gz file"),
        ("other", "no subject has t1 or flair, .*; found ct in 1, pet in 1"),
    ],
)
def test_data_that_is_no_cohort_is_refused(tmp_path, path, message):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    pair(tmp_path / "other", "a", endings=("ct", "pet"))
    with pytest.raises(InputError, match=message):
        find_cohort(tmp_path / path)


def test_missing_mask_and_repeated_sequences_are_refused(tmp_path):
    pair(tmp_path, "a")
    with pytest.raises(InputError, match=r"brain mask .* does not exist"):
        find_cohort(tmp_path, mask=tmp_path / "none.nii.gz")
    with pytest.raises(InputError, match="all different"):
        find_cohort(tmp_path, sources=("t1",), target="t1")


def test_pair_of_another_shape_is_refused_by_name_and_numbers(tmp_path):
    pair(tmp_path, "a")
    image(tmp_path / "a_flair.nii.gz", shape=(6, 7, 9))
    with pytest.raises(InputError, match=r"a: flair is on another grid.*\(6, 7, 9\).*\(6, 7, 8\)"):
        check_cohort(find_cohort(tmp_path))


def test_pair_of_another_place_is_refused_by_name_and_distance(tmp_path):
    pair(tmp_path, "a")
    image(tmp_path / "a_flair.nii.gz", shift=2.5)
    with pytest.raises(InputError, match=r"a: flair is on another grid.*2\.500 mm away"):
        check_cohort(find_cohort(tmp_path))


def test_all_files_that_do_not_fit_are_named_at_once(tmp_path):
    for name in "abcd":
        pair(tmp_path, name)
    image(tmp_path / "a_flair.nii.gz", shift=2.5)
    image(tmp_path / "b_flair.nii.gz", shape=(6, 7, 9))
    for damaged in ("c_t1.nii.gz", "d_flair.nii.gz"):
        (tmp_path / damaged).write_bytes(b"not an image")
    with pytest.raises(InputError) as refused:
        check_cohort(find_cohort(tmp_path))
    told = str(refused.value)
    assert "2 files on another grid: a: flair is on another grid than t1: " in told
    assert all(name in told for name in ("b: flair", "c_t1.nii.gz", "d_flair.nii.gz"))


def test_rounding_of_an_affine_is_no_other_grid(tmp_path):
    pair(tmp_path, "a")
    image(tmp_path / "a_flair.nii.gz", shift=0.002)
    check_cohort(find_cohort(tmp_path))
    image(tmp_path / "a_flair.nii.gz", shift=0.02)
    with pytest.raises(InputError, match=r"0\.020 mm away"):
        check_cohort(find_cohort(tmp_path))


def test_the_same_voxels_in_another_order_of_axes_are_one_grid(tmp_path):
    pair(tmp_path, "a")
    flair = nib.load(tmp_path / "a_flair.nii.gz")
    turned = flair.as_reoriented(nib.orientations.axcodes2ornt("SLA"))
    nib.save(turned, tmp_path / "a_flair.nii.gz")
    assert turned.shape != flair.shape
    check_cohort(find_cohort(tmp_path))


def test_mask_on_another_grid_is_refused(tmp_path):
    pair(tmp_path, "a")
    mask = image(tmp_path / "brain_mask.nii.gz", shift=1.0)
    with pytest.raises(InputError, match="a: mask is on another grid than t1"):
        check_cohort(find_cohort(tmp_path, mask=mask))


def test_damaged_file_is_refused_by_name(tmp_path):
    pair(tmp_path, "a")
    (tmp_path / "a_flair.nii.gz").write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"a_flair\.nii\.gz"):
        check_cohort(find_cohort(tmp_path))


def test_small_cohort_and_shared_files_give_warnings(tmp_path):
    pair(tmp_path, "a")
    rows = ["a_t1.nii.gz,a_flair.nii.gz,x", "a_t1.nii.gz,a_flair.nii.gz,y"]
    warnings = check_cohort(find_cohort(csv(tmp_path, "t1,flair,subject", *rows)))
    assert len(warnings) == 3
    assert "a_t1.nii.gz is used by several subjects: x, y" in warnings[0]
    assert "only 2 patients" in warnings[2]


def test_sound_cohort_gives_no_warning(tmp_path):
    for number in range(8):
        pair(tmp_path, f"p{number}")
    assert check_cohort(find_cohort(tmp_path)) == []


@pytest.mark.skipif("HAGAN_TEST_DATA" not in os.environ, reason="needs HAGAN_TEST_DATA")
def test_real_cohorts_are_found_whole():
    data = Path(os.environ["HAGAN_TEST_DATA"])
    glioma, pairs = find_cohort(data / "lgg_mni"), find_cohort(data / "pairs_1mm")
    assert len(glioma) == 74 and len(pairs) == 5
    assert {subject.mask.name for subject in glioma} == {"brain_mask.nii.gz"}
    assert all(subject.lesion is not None for subject in glioma)
    assert check_cohort(glioma) == []
    both = {s.patient for s in glioma} & {s.patient for s in pairs}
    assert both == {"TCGA_DU_7294", "TCGA_FG_6692"}
