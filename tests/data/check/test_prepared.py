"""What a training finds in the volumes that it prepares anyway."""

import nibabel as nib
import numpy as np

from hagan_clinic.data.check import check_prepared
from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.data.prepared import prepare_cohort
from hagan_clinic.recipe import Recipe

RECIPE = Recipe(("t1",), "flair", (4.5, 4.5, 4.5), 8, 8, 1.0)


def found(folder, cache, held_out=2):
    """(subject, kind) of every fault, with the last subjects in calibration."""
    prepared = prepare_cohort(find_cohort(folder), RECIPE, cache)
    sides = {"train": prepared[:-held_out], "calibration": prepared[-held_out:]}
    return {(one.subject, one.fault) for one in check_prepared(sides, RECIPE.sources, "flair")}


def test_a_sound_cohort_has_no_fault(made_up, tmp_path):
    assert found(made_up, tmp_path / "cache") == set()


def test_what_is_rolled_exchanged_or_copied_across_the_split_is_named_at_once(made_up, tmp_path):
    rolled = made_up / "p0" / "p0_flair.nii"
    image = nib.load(rolled, mmap=False)
    array = np.roll(np.asarray(image.dataobj), round(75 / 4.5), axis=0)
    nib.save(nib.Nifti1Image(array, image.affine), rolled)
    t1, flair = (made_up / "p1" / f"p1_{sequence}.nii" for sequence in ("t1", "flair"))
    kept = t1.read_bytes()
    t1.write_bytes(flair.read_bytes())
    flair.write_bytes(kept)
    for sequence in ("t1", "flair", "mask"):
        original = made_up / "p2" / f"p2_{sequence}.nii"
        (made_up / "p9" / f"p9_{sequence}.nii").write_bytes(original.read_bytes())
    assert found(made_up, tmp_path / "cache") == {
        ("p0", "registration"),
        ("p1", "exchanged"),
        ("p9", "duplicate"),
    }
