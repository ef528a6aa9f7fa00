"""What is written is an MR image by the standard's own tables, and no other."""

import json
import pkgutil

import numpy as np
import pydicom
from pydicom.uid import (
    CTImageStorage,
    MRImageStorage,
)

from hagan_clinic.imageio.dicom.carried import PATIENT_AND_STUDY


def test_all_that_is_written_belongs_to_mr_images(derived):
    written = {e.keyword for e in derived[0]} - {"PixelData"}
    assert written <= set(attributes_of(iod_modules("mr-image"))) | {"InstitutionCodeSequence"}


def test_the_iod_misses_nothing(derived):
    types = attributes_of(iod_modules("mr-image", usage="M"))
    for keyword, kind in types.items():
        if kind in ("1", "2"):
            assert keyword in derived[0], keyword
        if kind == "1":
            assert not derived[0][keyword].is_empty, keyword


def test_patient_and_study_are_copied_whole():
    modules = ("patient", "clinical-trial-subject", "general-study", "patient-study")
    named_there = set(attributes_of((*modules, "clinical-trial-study")))
    assert named_there <= set(PATIENT_AND_STUDY)
    assert set(PATIENT_AND_STUDY) - named_there == {"EthnicGroup", "OtherPatientIDs"}


def test_an_enhanced_source_is_referenced_by_frame(load, write):
    stack = load("enhanced")
    derived = [pydicom.dcmread(path) for path in write(stack)]
    header = stack.series.header
    frames = [d.SourceImageSequence[0].ReferencedFrameNumber for d in derived]
    assert sorted(frames) == list(range(1, 97))
    assert {d.SourceImageSequence[0].ReferencedSOPInstanceUID for d in derived} == {
        header.SOPInstanceUID
    }
    assert {d.SOPClassUID for d in derived} == {MRImageStorage}
    assert not any("FunctionalGroups" in e.keyword for e in derived[0])
    for name in ("NumberOfFrames", "DimensionIndexSequence", "PulseSequenceName"):
        assert name not in derived[0]


def test_only_mr_images_are_claimed(derived):
    assert derived[0].SOPClassUID != CTImageStorage
    assert derived[0].file_meta.MediaStorageSOPClassUID == derived[0].SOPClassUID
    assert derived[0].file_meta.MediaStorageSOPInstanceUID == derived[0].SOPInstanceUID


def iod_modules(iod, usage=None):
    table = json.loads(pkgutil.get_data("highdicom", "_standard/iod_module_map.json"))
    return [m["key"] for m in table[iod] if usage in (None, m["usage"])]


def attributes_of(modules):
    """Type of each top-level attribute of the modules, by the standard's tables."""
    table = json.loads(pkgutil.get_data("highdicom", "_standard/module_attribute_map.json"))
    types = {}
    for module in modules:
        for row in table[module]:
            if not row["path"]:
                types[row["keyword"]] = min(row["type"], types.get(row["keyword"], "9"))
    return types


def test_the_oracle_knows_types():
    types = attributes_of(["mr-image"])
    assert types["ScanningSequence"] == "1" and types["EchoTime"] == "2"
    assert np.isin(list(types.values()), ["1", "1C", "2", "2C", "3"]).all()
