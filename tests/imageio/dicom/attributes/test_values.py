"""What the source tells, lacks or has damaged becomes a value, an empty one or none."""

import pydicom
import pytest
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from hagan_clinic.errors import InputError


def test_a_sex_that_is_no_enumerated_value_is_left_empty(sources, make_stack, write):
    sources[0].add_new("PatientSex", "CS", "0000")
    assert pydicom.dcmread(write(make_stack(sources))[0])["PatientSex"].is_empty


def test_what_the_source_lacks_is_empty_or_absent(sources, make_stack, write):
    for source in sources:
        for keyword in ("SliceThickness", "PatientPosition", "MRAcquisitionType", "Manufacturer"):
            del source[keyword]
        del source.PositionReferenceIndicator, source.FrameOfReferenceUID, source.SeriesNumber
        del source.AccessionNumber, source.StudyID
    derived = [pydicom.dcmread(path) for path in write(make_stack(sources))]
    for keyword in ("SliceThickness", "PatientPosition", "MRAcquisitionType", "AccessionNumber"):
        assert derived[0][keyword].is_empty
    assert derived[0]["PositionReferenceIndicator"].is_empty
    assert len(derived[0].ContributingEquipmentSequence) == 1
    assert derived[0].SeriesNumber == 90000
    again = [pydicom.dcmread(path) for path in write(make_stack(sources), content="uncertainty")]
    assert {d.FrameOfReferenceUID for d in derived} == {d.FrameOfReferenceUID for d in again}
    assert derived[0].FrameOfReferenceUID.startswith("2.25.")


def test_a_source_without_a_study_is_refused(sources, make_stack, write):
    for source in sources:
        del source.StudyInstanceUID
    with pytest.raises(InputError, match=r"no Study Instance UID \(0020,000D\)"):
        write(make_stack(sources))


@pytest.mark.parametrize(
    ("offset", "date", "time"),
    [("-0800", "20240302", "012030"), ("+0530", "20240302", "145030"), ("nonsense", None, None)],
)
def test_times_are_in_the_zone_that_the_source_tells(
    offset, date, time, sources, make_stack, write
):
    # The offset holds for every time of a data set, the study's among them.
    sources[0].add_new("TimezoneOffsetFromUTC", "SH", offset)
    derived = pydicom.dcmread(write(make_stack(sources))[0])
    if date:
        assert (derived.ContentDate, derived.ContentTime) == (date, time)
        assert derived.TimezoneOffsetFromUTC == offset
    else:
        assert len(derived.TimezoneOffsetFromUTC) == 5
    assert derived.StudyTime == sources[0].StudyTime


def test_lossy_compression_is_carried_forward(sources, make_stack, write):
    assert "LossyImageCompression" not in pydicom.dcmread(write(make_stack(sources))[0])
    for source in sources:
        source.LossyImageCompression = "00"
    assert pydicom.dcmread(write(make_stack(sources))[0]).LossyImageCompression == "00"
    # The network sees all slices, so one that lost detail taints all.
    sources[3].LossyImageCompression = "01"
    sources[3].LossyImageCompressionRatio = ["5.2", "3"]
    sources[3].LossyImageCompressionMethod = ["ISO_10918_1", "ISO_15444_1"]
    for path in write(make_stack(sources)):
        derived = pydicom.dcmread(path)
        assert derived.LossyImageCompression == "01"
        assert derived.LossyImageCompressionRatio == [5.2, 3]
        assert derived.LossyImageCompressionMethod == ["ISO_10918_1", "ISO_15444_1"]


@pytest.mark.parametrize(
    ("syntax", "flag", "method"),
    [(JPEGBaseline8Bit, None, "ISO_10918_1"), (JPEG2000, "01", "ISO_15444_1")],
)
def test_lossy_transfer_syntaxes_count_as_lossy(syntax, flag, method, sources, make_stack, write):
    for source in sources:
        source.file_meta.TransferSyntaxUID = syntax
        if flag:
            source.LossyImageCompression = flag
    derived = pydicom.dcmread(write(make_stack(sources))[0])
    assert derived.LossyImageCompression == "01"
    assert derived.LossyImageCompressionMethod == method
    assert derived.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_lossy_high_throughput_jpeg_2000_is_named(sources, make_stack, write):
    for source in sources:
        source.file_meta.TransferSyntaxUID = HTJ2K
        source.LossyImageCompression = "01"
    derived = pydicom.dcmread(write(make_stack(sources))[0])
    assert derived.LossyImageCompressionMethod == "ISO_15444_15"


def damaged(source, keyword, vr, value):
    """Put an element as it may stand in a file, not as pydicom would have it."""
    tag = pydicom.tag.Tag(keyword)
    source._dict[tag] = pydicom.dataelem.RawDataElement(tag, vr, len(value), value, 0, False, True)


@pytest.mark.parametrize("keyword", ["PatientSize", "PatientWeight"])
def test_what_is_no_value_of_its_kind_is_left_out(keyword, sources, make_stack, write):
    damaged(sources[0], keyword, "DS", b"1,78")
    damaged(sources[0], "SeriesNumber", "IS", b"1\\2\\3 ")
    damaged(sources[0], "LossyImageCompressionRatio", "DS", b"10:1")
    sources[0].LossyImageCompression = "01"
    for path in write(make_stack(sources)):
        derived = pydicom.dcmread(path)
        assert keyword not in derived and "LossyImageCompressionRatio" not in derived
        assert derived.LossyImageCompression == "01"
        assert derived.SeriesNumber == 90001


@pytest.mark.parametrize(("vr", "value"), [("US", b"4711"), ("ZZ", b"4711"), ("FD", b"47")])
@pytest.mark.parametrize("keyword", ["PatientID", "AccessionNumber", "StudyDate"])
def test_a_study_that_cannot_be_told_is_refused(keyword, vr, value, sources, make_stack, write):
    for source in sources:
        damaged(source, keyword, vr, value)
    with pytest.raises(InputError, match=f"the source has a damaged {keyword}; correct"):
        write(make_stack(sources))


def test_text_under_the_name_of_other_text_is_taken(sources, make_stack, write):
    damaged(sources[0], "AccessionNumber", "LO", b"A123")
    derived = pydicom.dcmread(write(make_stack(sources))[0])
    assert (derived["AccessionNumber"].VR, derived.AccessionNumber) == ("SH", "A123")


@pytest.mark.parametrize(
    "keyword",
    [
        *("Manufacturer", "TimezoneOffsetFromUTC", "MRAcquisitionType", "FrameOfReferenceUID"),
        *("BurnedInAnnotation", "LossyImageCompression", "SeriesNumber", "PatientComments"),
    ],
)
def test_an_element_of_no_kind_is_no_crash(keyword, headers, make_stack, write):
    for header in headers:
        damaged(header, keyword, "ZZ", b"nonsense")
    assert pydicom.dcmread(write(make_stack(headers))[0]).SyntheticData == "YES"


def test_annotation_of_the_source_may_show_in_what_is_derived(sources, make_stack, write):
    sources[4].BurnedInAnnotation = "YES"
    assert pydicom.dcmread(write(make_stack(sources))[0]).BurnedInAnnotation == "YES"


@pytest.mark.filterwarnings("ignore:The value length")
def test_decimal_strings_of_any_form_stay_as_they_are(sources, make_stack, write, tmp_path):
    written = ["-020.50", "+7.2", "9.600000000000000001"]  # longer than DS may be
    sources[0].ImagePositionPatient = ["1", "2", "3"]
    sources[0].save_as(tmp_path / "0.dcm", enforce_file_format=True)
    content = (tmp_path / "0.dcm").read_bytes()
    value = "\\".join(written).encode()
    value += b" " * (len(value) % 2)
    old = b" \x00\x32\x00DS\x06\x001\\2\\3 "
    assert content.count(old) == 1
    new = b" \x00\x32\x00DS" + len(value).to_bytes(2, "little") + value
    (tmp_path / "0.dcm").write_bytes(content.replace(old, new))
    read = pydicom.dcmread(tmp_path / "0.dcm")
    path = write(make_stack([read, *sources[1:]]))[0]
    assert new in path.read_bytes()
