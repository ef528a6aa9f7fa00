import pytest

from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError
from hagan_clinic.training.folds import begin, fold_of_patients, fold_split

FRACTIONS = (0.7, 0.15, 0.15)


def subjects(patients, examinations=1):
    return [
        Subject(name=f"p{p:02}-{e}", patient=f"p{p:02}", images={})
        for p in range(patients)
        for e in range(examinations)
    ]


@pytest.mark.parametrize(("patients", "count"), [(74, 5), (7, 3), (5, 4)])
def test_every_patient_is_tested_once_and_never_seen_in_the_fold_that_tests_it(patients, count):
    cohort = subjects(patients, examinations=2)
    folds = fold_of_patients(cohort, seed=3, count=count)
    tested = []
    for number in range(1, count + 1):
        split = fold_split(cohort, folds, number, 3, FRACTIONS)
        sides = [{s.patient for s in side} for side in split.subsets().values()]
        assert all(sides) and not (sides[0] & sides[1] or sides[2] & (sides[0] | sides[1]))
        assert sum(map(len, split.subsets().values())) == len(cohort)
        tested += sides[2]
    assert sorted(tested) == sorted({s.patient for s in cohort})
    sizes = [list(folds.values()).count(number) for number in range(1, count + 1)]
    assert max(sizes) - min(sizes) <= 1


def test_folds_follow_from_the_seed_and_not_from_the_order():
    cohort = subjects(20)
    folds = fold_of_patients(cohort, 1, 5)
    assert folds == fold_of_patients(cohort[::-1], 1, 5)
    assert folds != fold_of_patients(cohort, 2, 5)


@pytest.mark.parametrize(
    ("patients", "count", "told"),
    [(9, 1, "--folds is 1: expected 2 or more"), (3, 4, "the cohort has 3 patients")],
)
def test_folds_that_cannot_be_are_named(patients, count, told):
    with pytest.raises(InputError, match=told):
        fold_of_patients(subjects(patients), 0, count)


def test_a_folder_goes_on_with_its_own_folds_alone(tmp_path):
    cohort = subjects(8)
    begin(tmp_path / "cv", cohort, fold_of_patients(cohort, 0, 2))
    begin(tmp_path / "cv", cohort, fold_of_patients(cohort, 0, 2))
    with pytest.raises(InputError, match="holds other folds"):
        begin(tmp_path / "cv", cohort, fold_of_patients(cohort, 0, 4))
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "notes.txt").touch()
    with pytest.raises(InputError, match="holds something else"):
        begin(tmp_path / "else", cohort, fold_of_patients(cohort, 0, 2))
