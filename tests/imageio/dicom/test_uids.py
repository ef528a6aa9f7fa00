"""UIDs of a derived series follow from what it is, and from nothing else."""

from dataclasses import fields, replace

import pytest

from hagan_clinic.imageio.dicom.derivation import Derivation
from hagan_clinic.imageio.dicom.options import SeriesOptions
from hagan_clinic.imageio.dicom.series import Series, Stack
from hagan_clinic.imageio.dicom.uids import fixed_uid, instance_uid, series_uid

OTHER_OPTIONS = {
    "description": "FLAIR",
    "number": 8,
    "manufacturer": "other",
    "institution_name": "a clinic",
    "institution_code": "1^99X^a clinic",
    "department": "radiology",
    "station_name": "box",
    "burn_in": True,
}


def test_the_same_derivation_has_the_same_uids(source, derivation):
    first = series_uid(source, derivation, SeriesOptions())
    assert series_uid(source, replace(derivation), SeriesOptions()) == first
    assert instance_uid(first, 3) == instance_uid(first, 3)


def test_uids_are_valid_and_below_2_25_and_no_two_are_equal(source, derivation):
    series = series_uid(source, derivation, SeriesOptions())
    uids = [series, *(instance_uid(series, n) for n in range(1, len(source.slices) + 1))]
    uids += [fixed_uid("a"), fixed_uid("b")]
    for uid in uids:
        assert uid.startswith("2.25.") and uid.is_valid and len(uid) <= 64
    assert len(set(uids)) == len(uids)


@pytest.mark.parametrize("name", [field.name for field in fields(Derivation)])
def test_another_derivation_has_other_uids(stack, derivation, name):
    value = "uncertainty" if name == "content" else "other"
    other = replace(derivation, **{name: value})
    first, second = (series_uid(stack, d, SeriesOptions()) for d in (derivation, other))
    assert first != second
    assert instance_uid(first, 1) != instance_uid(second, 1)


@pytest.mark.parametrize("name", [field.name for field in fields(SeriesOptions)])
def test_other_options_give_other_uids(stack, derivation, name):
    # What an option changes in a file makes it another instance.
    other = SeriesOptions(**{name: OTHER_OPTIONS[name]})
    assert series_uid(stack, derivation, other) != series_uid(stack, derivation, SeriesOptions())


def test_another_source_has_other_uids(headers, make_stack, derivation):
    first = series_uid(make_stack(headers), derivation, SeriesOptions())
    headers[2].SOPInstanceUID = "1.2.3.4.99"
    assert series_uid(make_stack(headers), derivation, SeriesOptions()) != first


def test_the_order_of_the_files_does_not_matter(stack, derivation):
    shuffled = Stack(
        Series(stack.series.uid, stack.series.instances[::-1]), stack.slices, stack.grid
    )
    first, second = (series_uid(s, derivation, SeriesOptions()) for s in (stack, shuffled))
    assert first == second
