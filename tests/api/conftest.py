"""A folder with what the examples of the public functions name."""

import shutil

import pytest

import hagan_clinic


@pytest.fixture(scope="session")
def folder(small_cohort, make_unconditional_run, tmp_path_factory):
    """`cohort`, `run` (conditional), `unconditional` and `t1.nii.gz`."""
    place = tmp_path_factory.mktemp("examples")
    (place / "cohort").symlink_to(small_cohort)
    shutil.copy(small_cohort / "p0" / "p0_t1.nii.gz", place / "t1.nii.gz")
    hagan_clinic.train(
        data=small_cohort, preset="tiny", output=place / "run", steps=2, device="cpu"
    )
    make_unconditional_run(place / "unconditional")
    return place
