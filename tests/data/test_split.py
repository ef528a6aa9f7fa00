import math
import os
from pathlib import Path

import pytest

from hagan_clinic.data.cohort import Subject, find_cohort
from hagan_clinic.data.split import (
    Split,
    read_split,
    split_by_column,
    split_by_patient,
    write_split,
)
from hagan_clinic.errors import InputError, OutputError


def subject(name, patient=None, split=None):
    return Subject(name, patient or name, {"t1": Path(f"{name}_t1.nii.gz")}, split=split)


SHARES = (0.7, 0.15, 0.15)
COHORT = [subject(f"p{patient:02d}_{scan}", f"p{patient:02d}") for patient in range(20)
          for scan in range(1 + patient % 3)]  # fmt: skip


def test_patients_stay_on_one_side_and_nobody_is_lost():
    split = split_by_patient(COHORT, seed=0, fractions=SHARES)
    sides = [{subject.patient for subject in side} for side in split.subsets().values()]
    assert [len(side) for side in sides] == [14, 3, 3]
    assert len(set.union(*sides)) == 20
    assert sorted(s.name for side in split.subsets().values() for s in side) == sorted(
        s.name for s in COHORT
    )


def test_split_depends_on_the_seed_and_not_on_the_order_of_files():
    assert split_by_patient(COHORT, seed=1, fractions=SHARES) == split_by_patient(
        COHORT[::-1], seed=1, fractions=SHARES
    )
    assert split_by_patient(COHORT, seed=1, fractions=SHARES) != split_by_patient(
        COHORT, seed=2, fractions=SHARES
    )


def test_small_cohorts_keep_a_patient_on_every_side():
    for number in (3, 4, 5):
        split = split_by_patient(
            [subject(f"p{i}") for i in range(number)], seed=0, fractions=SHARES
        )
        assert all(split.subsets().values())


def test_side_of_no_share_stays_empty():
    split = split_by_patient(COHORT[:5], seed=0, fractions=(0.8, 0.2, 0.0))
    assert split.train and split.calibration and not split.test


def test_too_few_patients_are_refused():
    with pytest.raises(InputError, match="2 patients for 3 subsets"):
        split_by_patient([subject("a"), subject("b")], seed=0, fractions=SHARES)


@pytest.mark.parametrize(
    "fractions", [(0.5, 0.5, 0.5), (1.2, -0.1, -0.1), (0.0, 0.5, 0.5), (math.nan, 0.5, 0.5)]
)
def test_fractions_that_are_no_shares_are_refused(fractions):
    with pytest.raises(InputError, match=r"fractions is .*: expected three shares of 1"):
        split_by_patient(COHORT, seed=0, fractions=fractions)


def test_written_split_reads_back(tmp_path):
    split = split_by_patient(COHORT, seed=4, fractions=SHARES)
    write_split(split, tmp_path / "split.csv")
    assert read_split(tmp_path / "split.csv", COHORT) == split


def test_split_that_cannot_be_written_is_an_output_error(tmp_path):
    with pytest.raises(OutputError):
        write_split(
            split_by_patient(COHORT, seed=4, fractions=SHARES), tmp_path / "missing" / "split.csv"
        )


GOOD = "subject,split\na,train\nb,calibration\nc,test\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "d,test\n", "names d, which is not in the cohort"),
        (GOOD + "a,test\n", "names a twice"),
        (GOOD.replace("c,test\n", ""), "leaves out 1 of 3 subjects of the cohort: c"),
        (GOOD.replace("c,test", "c,validation"), "c is in 'validation'; expected one of train"),
        (
            GOOD.replace("subject", "name"),
            r"columns \['name', 'split'\]; expected \['subject', 'split'\]",
        ),
        ("", r"columns \[\]"),
        (GOOD.replace("train", "test"), "no subject to train on"),
        ("subject,split\na\nb,train\nc,test\n", "a is in ''"),
    ],
)
def test_malformed_split_files_are_refused(tmp_path, text, message):
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_split(tmp_path / "split.csv", [subject(name) for name in "abc"])


def test_patient_on_two_sides_is_refused(tmp_path):
    (tmp_path / "split.csv").write_text(GOOD)
    cohort = [subject("a", "one"), subject("b", "two"), subject("c", "one")]
    with pytest.raises(InputError, match=r"patient one is in train and in test \(c\)"):
        read_split(tmp_path / "split.csv", cohort)


def test_split_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "split.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match=r"split\.csv is not a CSV"):
        read_split(tmp_path / "split.csv", COHORT)


def test_missing_split_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"split file .*none\.csv does not exist"):
        read_split(tmp_path / "none.csv", COHORT)


def test_cohort_csv_can_tell_the_split():
    cohort = [subject("a", split="train"), subject("b", split="test")]
    assert split_by_column(cohort) == Split((cohort[0],), (), (cohort[1],))
    assert split_by_column(COHORT) is None


def test_cohort_csv_that_tells_half_a_split_is_refused():
    with pytest.raises(InputError, match="b has split None"):
        split_by_column([subject("a", split="train"), subject("b")])


@pytest.mark.skipif("HAGAN_TEST_DATA" not in os.environ, reason="needs HAGAN_TEST_DATA")
def test_published_split_of_real_patients_is_read():
    folder = Path(os.environ["HAGAN_TEST_DATA"]) / "lgg_mni"
    split = read_split(folder / "split.csv", find_cohort(folder))
    assert [len(side) for side in split.subsets().values()] == [50, 12, 12]
