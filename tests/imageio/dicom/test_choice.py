import re

import pydicom
import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.choice import assess, choose
from hagan_clinic.imageio.dicom.discovery import find_series


@pytest.fixture
def judged(make_draft, save):
    """Judge a series with changed elements; None takes one away."""

    def verdict(source="t1", allow_contrast=False, **elements):
        datasets = make_draft(
            **{key: value for key, value in elements.items() if value is not None}
        )
        for one in datasets:
            for keyword in [key for key, value in elements.items() if value is None]:
                del one[keyword]
        (series,) = find_series(save(datasets)).series
        return assess(series, source, allow_contrast=allow_contrast)

    return verdict


def _of(test_data, folder):
    return find_series(test_data / "dicom" / folder)


@pytest.mark.parametrize(
    ("folder", "number"),
    [("brainix", 601), ("sag_mprage", 5), ("xa30_enhanced", 5), ("decubitus/HFS", 3)],
)
def test_the_t1_of_real_studies_is_chosen(test_data, folder, number):
    assert choose(_of(test_data, folder)).series.header.SeriesNumber == number


def test_the_flair_is_chosen_where_it_is_the_source(test_data):
    assert choose(_of(test_data, "brainix"), "flair").series.header.SeriesNumber == 401


def test_two_equal_series_are_not_chosen_from(test_data):
    found = _of(test_data, "decubitus")
    with pytest.raises(
        InputError, match=r"2 series can be used.*--series UID: .*inspect shows.*series 2, series 3"
    ):
        choose(found)
    uid = found.series[1].uid
    assert choose(found, uid=uid).series.uid == uid


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("edge/failing/gantrytilting", "modality CT, expected MR"),
        ("edge/failing/slicecount", "is no T1 by its timing"),
        ("edge/generic/compressed_j2k", "is no T1 by its timing .TR 6000 ms, TE 394 ms"),
        ("edge/generic/rgb", r"is a colour image \(RGB\)"),
        ("edge/hyperfine", "is no T1 by its timing .TR 4000 ms, TE 194.4 ms, TI 1400 ms"),
        ("pydicom_data", "contrast-enhanced .its header has ContrastBolusAgent"),
    ],
)
def test_other_real_series_are_not_usable(test_data, folder, reason):
    verdicts = [assess(series) for series in _of(test_data, folder).series]
    assert not any(verdict.usable for verdict in verdicts)
    assert any(re.search(reason, verdict.reason) for verdict in verdicts)


def test_a_long_echo_contradicts_the_description(judged):
    verdict = judged(SeriesDescription="T1", EchoTime=100)
    assert not verdict.usable
    assert "its echo time is 100 ms" in verdict.reason


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Modality": "CT"}, "is of the modality CT, expected MR"),
        ({"Modality": None}, "is of the modality unknown"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "secondary capture"),
        ({"PhotometricInterpretation": "RGB"}, r"is a colour image \(RGB\)"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "is a colour image"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "is a localizer"),
        ({"SeriesDescription": "AAHead_Scout"}, "is a localizer"),
        ({"SeriesDescription": "T1 localizer"}, "is a localizer"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, r"computed from scans \(ImageType MPR\)"),
        ({"ImageType": ["DERIVED", "PRIMARY"]}, "is derived from scans"),
        ({"ImageType": ["ORIGINAL", "SECONDARY"]}, "is a secondary image"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P"]}, "expected magnitude"),
        ({"SyntheticData": "YES"}, "is synthetic, expected a scan"),
        ({"SeriesDescription": "SYNTHETIC FLAIR"}, "is synthetic, expected a scan"),
        (
            {"ContrastBolusAgent": "Gadovist"},
            "contrast-enhanced .its header has ContrastBolusAgent",
        ),
        ({"SeriesDescription": "T1 +C"}, r"'\+c' in SeriesDescription.*--allow-contrast"),
        ({"SeriesDescription": "T1 MPRAGE POST"}, "looks contrast-enhanced"),
        ({"ProtocolName": "t1_gd"}, "'gd' in ProtocolName"),
        ({"count": 4}, "has 4 slices, expected 5 or more"),
        ({"ImagePositionPatient": None}, "IM0001: has no ImagePositionPatient"),
    ],
)
def test_series_that_are_not_usable_say_why(judged, elements, reason):
    verdict = judged(**elements)
    assert not verdict.usable
    assert re.search(reason, verdict.reason), verdict.reason


def test_few_slices_are_doubtful_under_the_name_of_the_sequence_alone(judged):
    assert judged(count=4, SeriesDescription="T1 MPRAGE").is_doubtful
    assert not judged(count=4, SeriesDescription="T1 localizer").is_doubtful


@pytest.mark.parametrize("agent", ["", "None", "NO", " "])
def test_no_agent_is_no_contrast(judged, agent):
    assert judged(ContrastBolusAgent=agent).usable


@pytest.mark.parametrize("elements", [{"ContrastBolusAgent": "Gd"}, {"SeriesDescription": "T1 Gd"}])
def test_contrast_may_be_allowed_or_asked_for(judged, elements):
    assert not judged(**elements).usable
    assert judged(allow_contrast=True, **elements).usable
    assert judged(source="t1ce", **elements).usable


@pytest.mark.parametrize("keyword", ["SyntheticData", "ContrastBolusAgent"])
def test_one_image_that_says_so_is_enough(make_draft, save, keyword):
    datasets = make_draft()
    setattr(datasets[7], keyword, "YES")
    (series,) = find_series(save(datasets)).series
    assert not assess(series).usable


def test_a_given_series_is_taken_whatever_its_weighting(test_data):
    found = _of(test_data, "brainix")
    assert choose(found, uid=found.series[0].uid).series.header.SeriesNumber == 401


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"SyntheticData": "YES"}, "is synthetic"),
        ({"ContrastBolusAgent": "Gd"}, "contrast-enhanced"),
        ({"Modality": "CT"}, "modality CT"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "not two unit vectors"),
        ({"count": 3}, "has 3 slices"),
    ],
)
def test_a_given_series_is_refused_all_the_same(make_draft, save, elements, reason):
    found = find_series(save(make_draft(**elements)))
    with pytest.raises(InputError, match=f"the series of --series cannot be used: .*{reason}"):
        choose(found, uid="1.2.3", allow_contrast="Modality" in elements)
    with pytest.raises(InputError, match=reason):
        choose(found)


def test_synthetic_series_are_refused_where_contrast_is_allowed(make_draft, save):
    found = find_series(save(make_draft(SyntheticData="YES")))
    with pytest.raises(InputError, match="is synthetic"):
        choose(found, uid="1.2.3", allow_contrast=True)


def test_an_unknown_uid_lists_what_there_is(make_draft, save):
    found = find_series(save(make_draft()))
    with pytest.raises(InputError, match=r"no series 9\.9; .*inspect shows the UIDs of series 3"):
        choose(found, uid="9.9")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"MRAcquisitionType": "2D"}, {}),
        ({"Rows": 3, "PixelData": bytes(48)}, {}),
    ],
)
def test_the_plainly_better_series_is_chosen(make_draft, save, tmp_path, one, other):
    save(make_draft(uid="1.2.4", SeriesNumber=1, **one), "study/one")
    save(make_draft(**other), "study/other")
    assert choose(find_series(tmp_path / "study")).series.uid == "1.2.3"


SIZE = {"Rows": 64, "Columns": 64, "PixelSpacing": [1.9, 1.9], "PixelData": bytes(2 * 64 * 64)}
UNNAMED = {**SIZE, "SeriesDescription": "axial brain", "count": 72}
TURBO_FLASH = {**UNNAMED, "ScanningSequence": ["GR", "IR"]}


@pytest.fixture
def study(make_draft, save, tmp_path):
    """A study of these series, numbered from 1."""

    def of(*series):
        for number, elements in enumerate(series, 1):
            given = {"uid": f"1.2.{number}", "SeriesNumber": number, **elements}
            save(make_draft(**given), f"study/{number}")
        return find_series(tmp_path / "study")

    return of


def test_a_named_t1_goes_before_a_better_one_by_timing(study):
    named = {**SIZE, "SeriesDescription": "T1W_SE", "MRAcquisitionType": "2D", "count": 12}
    found = study(TURBO_FLASH, {**named, "ScanningSequence": "SE", "InversionTime": None})
    assert [assess(series).usable for series in found.series] == [True, True]
    assert choose(found).series.header.SeriesNumber == 2


def test_one_unnamed_t1_is_taken_by_its_timing(study):
    found = study(TURBO_FLASH, {"SeriesDescription": "T2", "EchoTime": 90})
    assert assess(found.series[0]).reason == "T1 by its timing (TR 2000 ms, TE 2.5 ms, TI 900 ms)"
    assert choose(found).series.header.SeriesNumber == 1


def test_of_two_unnamed_t1_none_is_taken(study):
    found = study(TURBO_FLASH, {**TURBO_FLASH, "count": 140})
    with pytest.raises(
        InputError, match=r"2 series may be t1 by their timing alone.*--series UID.*series 1, ser"
    ):
        choose(found)
    assert choose(found, uid="1.2.2").series.header.SeriesNumber == 2


@pytest.mark.parametrize(
    ("elements", "why"),
    [({"ContrastBolusAgent": "Gd"}, "contrast-enhanced"), ({"count": 3}, "has 3 slices")],
)
def test_an_unnamed_t1_is_not_taken_for_a_named_one_that_cannot_be_used(study, elements, why):
    found = study(TURBO_FLASH, elements)
    with pytest.raises(InputError, match=rf"named so, but not usable: series 2, which .*{why}"):
        choose(found)


@pytest.mark.parametrize(
    ("elements", "why"),
    [
        ({"count": 9}, "it covers 122 x 122 x 14 mm with pixels of 1.9 mm"),
        ({"PixelSpacing": [3, 3]}, "it covers 192 x 192 x 108 mm with pixels of 3 mm"),
        ({"SeriesDescription": "field 3D"}, "'field' is in its description"),
        ({"ImageType": ["ORIGINAL"]}, "its ImageType is not ORIGINAL"),
    ],
)
def test_an_unnamed_t1_of_which_more_is_amiss_is_asked_for(study, elements, why):
    found = study({**TURBO_FLASH, **elements})
    with pytest.raises(
        InputError, match=rf"may be a T1 by its timing .*{why}.*give it by --series"
    ):
        choose(found)
    assert choose(found, uid="1.2.1")


def test_thinner_slices_are_better(make_draft, save, tmp_path):
    save(make_draft(uid="1.2.4", count=18)[::2], "study/thick")
    save(make_draft(), "study/thin")
    assert choose(find_series(tmp_path / "study")).series.uid == "1.2.3"


def test_series_of_two_studies_are_not_chosen_from(make_draft, save, tmp_path):
    save(make_draft(uid="1.2.4", MRAcquisitionType="2D", StudyInstanceUID="1.9"), "study/one")
    save(make_draft(), "study/other")
    with pytest.raises(InputError, match="2 series can be used"):
        choose(find_series(tmp_path / "study"))


@pytest.mark.parametrize("end", [-10, 150])
def test_a_damaged_file_that_may_belong_to_the_series_refuses_it(make_draft, save, end):
    folder = save(make_draft())
    path = folder / "IM0009"
    path.write_bytes(path.read_bytes()[:end])
    for uid in (None, "1.2.3"):
        with pytest.raises(InputError, match="IM0009: is truncated"):
            choose(find_series(folder), uid=uid)


def test_a_damaged_file_of_another_series_is_no_matter(make_draft, save, tmp_path):
    save(make_draft(), "study/whole")
    path = save(make_draft(uid="1.2.4"), "study/other") / "IM0009"
    path.write_bytes(path.read_bytes()[:-10])
    for other in list(path.parent.iterdir())[:-1]:
        other.unlink()
    assert choose(find_series(tmp_path / "study"), uid="1.2.3").series.uid == "1.2.3"


def test_a_folder_without_dicom_is_refused(tmp_path):
    (tmp_path / "notes").write_text("not DICOM")
    with pytest.raises(InputError, match=r"found no DICOM series \(1 other files\)"):
        choose(find_series(tmp_path))


def test_messages_quote_no_patient(make_draft, save):
    found = find_series(save([*make_draft(count=2), *make_draft(uid="1.2.4")]))
    for uid in (None, "1.2.3", "7"):
        try:
            choose(found, "t2", uid=uid)
        except InputError as error:
            assert "Doe" not in str(error) and "4711" not in str(error)


def test_an_enhanced_t1_is_known_by_its_timing(test_data, save):
    (path,) = (test_data / "dicom" / "xa30_enhanced" / "5_anat-T1w_acq-tfl").iterdir()
    dataset = pydicom.dcmread(path)
    dataset.SeriesDescription = dataset.ProtocolName = "brain"
    (series,) = find_series(save([dataset])).series
    assert assess(series).reason == "T1 by its timing (TR 1800 ms, TE 2.41 ms, TI 900 ms)"


@pytest.mark.parametrize(
    ("folder", "outcome"),
    [
        ("failing/gantrytilting", "modality CT"),
        ("failing/notavolume", "modality CT"),
        ("failing/slicecount", "has 2 slices, expected 5 or more"),
        ("failing/sliceincrement/001", "modality CT"),
        ("failing/sliceincrement/002", "modality CT"),
        ("failing/sliceorientation", "has the ImageOrientationPatient"),
        ("generic/compressed_j2k", "has 4 slices"),
        ("generic/compressed_jpeg", "has 4 slices"),
        ("generic/compressed_jpegls", "has 4 slices"),
        ("generic/compressed_rle", "has 4 slices"),
        ("generic/rgb", r"is a colour image \(RGB\)"),
        ("hitachi/anatomical/001", "has 4 slices"),
        ("hitachi/anatomical/001_implicit", "has 4 slices"),
        ("hyperfine", (112, 138, 8)),
        ("philips_enhanced/anatomical/001", (256, 256, 8)),
        ("philips_enhanced/anatomical/001_implicit", (256, 256, 8)),
        ("siemens_multiframe", (256, 256, 8)),
    ],
)
def test_every_edge_set_is_taken_or_refused_by_name(test_data, folder, outcome):
    """Given by its UID, so that its weighting does not count."""
    found = _of(test_data, f"edge/{folder}")
    (series,) = found.series
    if isinstance(outcome, tuple):
        assert choose(found, uid=series.uid).grid.shape == outcome
    else:
        with pytest.raises(InputError, match=outcome):
            choose(found, uid=series.uid)
