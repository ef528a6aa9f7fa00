"""Each fault of a cohort is found, with whose it is; a sound cohort has none."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from hagan_clinic.data.check import Severity, check_images, check_looks
from hagan_clinic.data.check.exchange import agreements, difference_map
from hagan_clinic.data.check.pairing import best_pairing, edge_picture, likenesses
from hagan_clinic.data.check.reading import look_at
from hagan_clinic.data.check.registration import registration
from hagan_clinic.data.cohort import find_cohort


def faults(folder, **subsets):
    """(subject, kind) of every fault, errors marked."""
    found = check_images(find_cohort(folder), subsets, "flair")
    return {
        (one.subject, one.fault + ("!" if one.severity is Severity.ERROR else "")) for one in found
    }


def file_of(folder, name, sequence):
    return folder / name / f"{name}_{sequence}.nii"


def change(file, function):
    image = nib.load(file, mmap=False)
    array = function(np.asarray(image.dataobj).copy())
    nib.save(nib.Nifti1Image(array, image.affine), file)


def test_a_sound_cohort_has_no_fault(made_up):
    assert faults(made_up) == set()


def test_all_faults_are_found_at_once(made_up):
    def flair(name):
        return file_of(made_up, name, "flair")

    change(flair("p0"), lambda array: np.roll(array, round(75 / 4.5), axis=1))
    t1, other = file_of(made_up, "p1", "t1"), flair("p1")
    t1.rename(made_up / "kept")
    other.rename(t1)
    (made_up / "kept").rename(other)
    change(flair("p2"), np.zeros_like)
    flair("p3").write_bytes(b"no NIfTI")
    change(flair("p4"), lambda array: array[:-2])
    flair("p5").write_bytes(flair("p6").read_bytes())
    assert faults(made_up) == {
        ("p0", "registration!"),
        ("p1", "exchanged!"),
        ("p2", "empty!"),
        ("p3", "unreadable!"),
        ("p4", "grid!"),
        ("p6", "duplicate"),
    }


def test_a_copy_across_the_split_is_an_error_in_whatever_type_it_is_kept(made_up):
    copied = file_of(made_up, "p1", "t1")
    image = nib.load(file_of(made_up, "p0", "t1"), mmap=False)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj, np.float32), image.affine), copied)
    assert ("p1", "duplicate!") in faults(made_up, p0="train", p1="test")
    assert ("p1", "duplicate") in faults(made_up, p0="train", p1="train")


def test_one_image_as_both_sequences_is_an_error(made_up):
    file_of(made_up, "p7", "flair").write_bytes(file_of(made_up, "p7", "t1").read_bytes())
    assert ("p7", "duplicate!") in faults(made_up)


def test_contrast_agent_by_name_or_sidecar_is_a_warning(made_up):
    sidecar = file_of(made_up, "p2", "t1").with_suffix(".json")
    sidecar.write_text(json.dumps({"ContrastBolusAgent": "Gadovist"}))
    assert faults(made_up) == {("p2", "contrast")}


def test_a_brain_that_is_cut_by_the_field_is_a_warning(made_up):
    for sequence in ("t1", "flair", "mask"):
        change(file_of(made_up, "p3", sequence), lambda array: array[:, :, 10:])
    assert faults(made_up) == {("p3", "edge")}


def test_a_bright_end_that_was_cut_off_is_a_warning(made_up):
    change(
        file_of(made_up, "p4", "flair"),
        lambda array: np.minimum(array, np.percentile(array[array > 0], 80)).astype(array.dtype),
    )
    texts = [one.text for one in check_images(find_cohort(made_up), {}, "flair")]
    assert any(text.startswith("flair has its highest value in ") for text in texts)


def test_grey_values_spread_unlike_the_cohorts_are_a_warning(made_up):
    change(
        file_of(made_up, "p4", "flair"),
        lambda array: np.rint((array / array.max()) ** 9 * 30000).astype(np.int16),
    )
    assert ("p4", "intensity") in faults(made_up)


def test_an_empty_mask_is_an_error(made_up):
    change(file_of(made_up, "p5", "mask"), np.zeros_like)
    assert faults(made_up) == {("p5", "empty!")}


def test_the_displacement_is_told_in_mm(made_up):
    change(file_of(made_up, "p0", "flair"), lambda array: np.roll(array, 3, axis=2))
    (found,) = check_images(find_cohort(made_up), {}, "flair")
    assert "flair fits t1 best when moved 14 mm down;" in found.text


def test_targets_that_went_round_are_told_with_whose_each_is(made_up):
    files = [file_of(made_up, name, "flair") for name in ("p0", "p1", "p2")]
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, [*contents[1:], contents[0]], strict=True):
        file.write_bytes(content)
    found = check_images(find_cohort(made_up), {}, "flair")
    told = {one.subject: one.text for one in found if one.fault == "pairing"}
    assert set(told) == {"p0", "p1", "p2"}
    assert told["p1"].startswith("t1 fits the flair of p0 better;")


def test_fewer_than_eight_pairs_are_not_judged_by_each_other(made_up):
    looks = [look_at(one)[0] for one in find_cohort(made_up)[:7]]
    assert check_looks([_exchanged(looks[0]), *looks[1:]], "flair") == []


def test_of_fewer_than_sixteen_pairs_the_exchanged_one_is_a_warning(made_up):
    looks = [look_at(one)[0] for one in find_cohort(made_up)]
    (found,) = check_looks([_exchanged(looks[0]), *looks[1:15]], "flair")
    assert (found.subject, found.severity) == (looks[0].name, Severity.WARNING)
    (found,) = check_looks([_exchanged(looks[0]), *looks[1:16]], "flair")
    assert (found.subject, found.severity) == (looks[0].name, Severity.ERROR)


def test_half_a_cohort_exchanged_is_told_of_the_whole(made_up):
    looks = [look_at(one)[0] for one in find_cohort(made_up)]
    (found,) = check_looks([*map(_exchanged, looks[:10]), *looks[10:]], "flair")
    assert (found.subject, found.severity) == ("", Severity.WARNING)


@pytest.fixture(scope="module")
def patients(test_data):
    """25 examinations of many scanners, without their skulls."""
    subjects = find_cohort(test_data / "brats_1mm" / "cohort.csv")
    return [look_at(one)[0] for one in subjects]


def test_no_real_pair_is_doubted(patients):
    assert [found for look in patients for found in registration(look)] == []
    assert check_looks(patients, "flair") == []


def test_every_real_pair_that_is_exchanged_is_found(patients):
    maps = np.stack([difference_map(look, "t1", "flair") for look in patients])
    for one in range(len(maps)):
        signs = np.ones(len(maps))
        signs[one] = -1
        assert np.array_equal(agreements(maps * signs[:, None]) < 0, signs < 0)


def test_nine_in_ten_real_targets_that_went_to_the_next_patient_are_found(patients):
    next_one = [*patients[1:], patients[0]]
    sources, targets = (
        np.stack([edge_picture(look, sequence) for look in looks])
        for sequence, looks in (("t1", patients), ("flair", next_one))
    )
    numbers = np.arange(len(patients))
    found = best_pairing(likenesses(sources, targets))[1]
    assert np.mean(found == np.roll(numbers, 1)) > 0.9


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_real_pair_that_is_rolled_is_found(patients, axis):
    for look in patients[::4]:
        flair = np.roll(look.images["flair"], round(75 / look.spacing[axis]), axis)
        rolled = replace(look, images={**look.images, "flair": flair})
        assert [found.subject for found in registration(rolled)] == [look.name]


def _exchanged(look):
    t1, flair = look.images.values()
    digests = dict(zip(("flair", "t1"), look.digests.values(), strict=True))
    return replace(look, images={"t1": flair, "flair": t1}, digests=digests)
