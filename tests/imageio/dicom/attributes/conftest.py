"""A series with all that a scanner may write, and what is derived from it."""

import tomllib
from copy import deepcopy
from itertools import chain
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import (
    MRImageStorage,
)

NOT_COPIED = tomllib.loads((Path(__file__).parent / "not_copied.toml").read_text("utf-8"))


def scanned(number, headers):
    """A source instance with all that must not be copied, and pixels."""
    dataset = deepcopy(headers[number])
    image = pydicom.Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = MRImageStorage, "1.2.9"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    dataset.ScanningSequence, dataset.SequenceVariant = "GR", ["SP", "MP"]
    dataset.ScanOptions, dataset.MRAcquisitionType = "PFP", "3D"
    dataset.RepetitionTime, dataset.EchoTime, dataset.EchoTrainLength = "2000", "2.5", "1"
    dataset.AcquisitionNumber, dataset.SeriesDescription = 1, "T1 MPRAGE"
    dataset.SoftwareVersions = "scanner 5"
    dataset.WindowCenter, dataset.WindowWidth = "500", "1000"
    dataset.BodyPartExamined = "HEAD"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "A1", "Roe^Richard"
    dataset.PositionReferenceIndicator = ""
    dataset.ManufacturerModelName = "Scanner 3T"
    for keyword in chain.from_iterable(NOT_COPIED.values()):
        tag = pydicom.datadict.tag_for_keyword(keyword)
        vr = pydicom.datadict.dictionary_VR(tag)
        if tag >> 16 == 2:
            continue
        value = {
            "SQ": [image],
            "DA": "20240102",
            "TM": "101112",
            "DT": "20240102101112",
            "UI": "1.2.77",
            "LT": "x",
        }.get(vr)
        if value is None:
            value = [0, 64, 64, 0] if keyword == "AcquisitionMatrix" else 7
            value = value if vr in ("US", "US or SS", "FD", "FL", "OB") else str(value)
        if vr == "OB":
            value = b"1"
        dataset.add_new(tag, "US" if vr == "US or SS" else vr, value)
    dataset.PixelAspectRatio = [1, 1]
    dataset.add_new(0x60000010, "US", 64)
    dataset.add_new(0x60000040, "CS", "G")
    block = dataset.private_block(0x0029, "SCANNER", create=True)
    block.add_new(0x10, "OB", b"private")
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.ContentDate, dataset.ContentTime = "20240102", "111111"
    dataset.file_meta.SourceApplicationEntityTitle = "SCANNER"
    dataset.PixelData = bytes(2 * dataset.Rows * dataset.Columns)
    return dataset


@pytest.fixture
def sources(headers):
    """Instances as a scanner stores them, in the order of their places."""
    return [scanned(number, headers) for number in range(len(headers))]


@pytest.fixture
def stack(sources, make_stack):
    return make_stack(sources)


@pytest.fixture
def derived(stack, write):
    """The series of this package, read back."""
    return [pydicom.dcmread(path) for path in write(stack)]
