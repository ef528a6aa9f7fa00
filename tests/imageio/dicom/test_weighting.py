"""Headers as scanners of three vendors write them, with typical timing."""

import pytest
from pydicom import Dataset

from hagan_clinic.imageio.dicom.choice import _kind
from hagan_clinic.imageio.dicom.weighting import is_named, weighting


def header(name="", kind="GR", variant="", acquisition="3D", times=(), **elements):
    """A header; `times` are repetition, echo, inversion (or None) and flip angle."""
    made = Dataset()
    made.SeriesDescription, made.MRAcquisitionType = name, acquisition
    made.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    made.ScanningSequence = kind.split("\\")
    if variant:
        made.SequenceVariant = variant.split("\\")
    keywords = ("RepetitionTime", "EchoTime", "InversionTime", "FlipAngle")
    for keyword, value in zip(keywords, times, strict=False):
        if value is not None:
            setattr(made, keyword, value)
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def taken(one):
    return _kind(one) is None and weighting(one, "t1")[0]


# What else a head study holds: name, ScanningSequence, SequenceVariant, 2D or 3D, times.
SIEMENS = [
    ("localizer", "GR", "SP\\OSP", "2D", (8.6, 4, None, 20)),
    ("AAHead_Scout", "GR", "SP", "3D", (3.15, 1.37, None, 8)),
    ("gre_field_mapping", "GR", "SP", "2D", (488, 4.92, None, 60)),
    ("TOF_3D_multi-slab", "GR", "SP\\OSP", "3D", (21, 3.43, None, 18)),
    ("t2_swi_tra_p2_1.5mm_Mag", "GR", "SP", "3D", (28, 20, None, 15)),
    ("tfl_b1map", "GR", "SK\\SP\\MP", "2D", (5000, 1.83, None, 8)),
    ("gre_B0_3D", "GR", "SP", "3D", (25, 4.92, None, 25)),
    ("ep2d_diff_mddw", "EP", "SK\\SP", "2D", (3500, 83, None, 90)),
    ("fl3d_pc_venogram_phase contrast", "GR", "SP", "3D", (20, 7, None, 15)),
    ("trufi_loc", "GR", "SK\\SS", "2D", (4.3, 2.1, None, 70)),
    ("ciss3d", "GR", "SS\\OSP", "3D", (5.9, 2.6, None, 50)),
    ("dess3d", "GR", "SS", "3D", (14, 5, None, 25)),
    ("NM_GRE_MTC", "GR", "MTC\\SP", "2D", (337, 3.97, None, 50)),
    ("t2_tse_tra", "SE", "SK\\SP\\OSP", "2D", (5000, 100, None, 150)),
    ("t2_tirm_tra_dark-fluid", "SE\\IR", "SK\\SP\\MP", "2D", (9000, 81, 2500, 150)),
    ("t2_stir", "SE\\IR", "SK\\SP\\MP", "2D", (4000, 30, 160, 150)),
    ("pd_tse", "SE", "SK", "2D", (3000, 12, None, 150)),
    ("pcasl_3d_tra", "SE", "SK", "3D", (4600, 16, 1800, 180)),
    ("T1 map VFA 5deg", "GR", "SP", "3D", (15, 2, None, 5)),
]
GE = [
    ("3Plane Loc SSFSE", "SE", "SS", "2D", (1200, 80, None, 90)),
    ("3-plane loc FGRE", "GR", "SS\\SK", "2D", (5.1, 1.6, None, 30)),
    ("Calibration Scan", "GR", "NONE", "3D", (150, 2.0, None, 5)),
    ("ASSET calibration", "GR", "NONE", "3D", (150, 2.1, None, 5)),
    ("Cal Head 24", "GR", "NONE", "3D", (5, 1.6, None, 1)),
    ("COW 3 slab", "GR", "SP", "3D", (25, 3.2, None, 20)),
    ("3D TOF", "GR", "SS\\SP\\SK", "3D", (22, 2.9, None, 15)),
    ("Ax SWAN", "GR", "SS\\SP", "3D", (40, 22, None, 15)),
    ("INHANCE 3D Velocity", "GR", "SS\\SP", "3D", (9, 4, None, 8)),
    ("B0 map", "GR", "SP", "3D", (30, 4.6, None, 20)),
    ("FIESTA-C", "GR", "SS\\SK", "3D", (5.8, 2.4, None, 45)),
    ("Ax DWI", "EP\\SE", "SK", "2D", (6000, 80, None, 90)),
    ("3D ASL", "SE", "SK", "3D", (4800, 10.5, 2025, 111)),
    ("Ax MERGE", "GR", "SK", "2D", (560, 13, None, 20)),
    ("AFI", "GR", "SP", "3D", (25, 2.2, None, 60)),
    ("Sag STIR", "SE\\IR", "SK", "2D", (4500, 25, 170, 111)),
]
PHILIPS = [
    ("Survey_SHC", "GR", "SP", "2D", (11, 4.6, None, 15)),
    ("CoilSurvey_Head", "GR", "SP", "3D", (4, 0.75, None, 1)),
    ("Ref_Head_32", "GR", "SP", "3D", (4, 0.75, None, 1)),
    ("SENSE-Ref-Scan", "GR", "SP", "3D", (4, 0.75, None, 7)),
    ("s3DI_MC_HR", "GR", "SP", "3D", (23, 3.45, None, 20)),
    ("s3D_PCA_SAG", "GR", "SP", "3D", (12, 6.2, None, 8)),
    ("Circle of Willis", "GR", "SP", "3D", (23, 3.4, None, 18)),
    ("sSWIp HR", "GR", "SP", "3D", (31, 7.2, None, 17)),
    ("B0 map", "GR", "SP", "3D", (30, 4.6, None, 10)),
    ("B1map_DREAM", "GR", "SP", "2D", (200, 1.2, None, 10)),
    ("3D bFFE", "GR", "SS", "3D", (6, 3, None, 45)),
    ("sBTFE_DRIVE balanced", "GR", "SS", "3D", (5, 2.5, None, 60)),
    ("FE_EPI fMRI", "GR\\EP", "SK", "2D", (3000, 35, None, 90)),
    ("PosDisp: [3] Ax T1", "GR", "SP", "3D", (23, 3, None, 15)),
    ("3D DRIVE T2 VISTA", "SE", "SK", "3D", (1500, 200, None, 90)),
    ("NM_MRI", "GR", "SP\\MTC", "2D", (400, 3, None, 40)),
]
OTHERS = [*SIEMENS, *GE, *PHILIPS]


@pytest.mark.parametrize("series", OTHERS, ids=lambda series: series[0])
def test_other_series_of_a_study_are_no_t1(series):
    assert not taken(header(*series))


@pytest.mark.parametrize("series", OTHERS, ids=lambda series: series[0])
def test_other_series_are_no_t1_without_their_names(series):
    assert not taken(header("", *series[1:]))
    assert not taken(header("HEAD SERIES 7", *series[1:]))


UNNAMED_T1 = [
    ("", "GR\\IR", "SK\\SP\\MP", "3D", (2300, 2.98, 900, 9)),
    ("", "GR", "SS\\SP\\SK", "3D", (8.2, 3.2, 450, 12)),
    ("", "GR", "MP", "3D", (8.1, 3.7, None, 8)),
    ("", "SE", "SK", "2D", (500, 12, None, 90)),
    ("", "SE\\IR", "SK", "2D", (2500, 10, 900, 111)),
]


@pytest.mark.parametrize("series", UNNAMED_T1)
def test_a_t1_without_name_is_known_by_its_timing(series):
    assert weighting(header(*series), "t1")[1].startswith("T1 by its timing (TR ")
    assert taken(header(*series))
    assert not is_named(header(*series), "t1")


@pytest.mark.parametrize(
    ("elements", "doubt"),
    [
        ({"AngioFlag": "Y"}, "AngioFlag"),
        ({"ScanOptions": ["FC", "TOF"]}, "ScanOptions have TOF"),
        ({"SequenceName": "*fm3d2r"}, "SequenceName"),
        ({"AcquisitionContrast": "TOF"}, "AcquisitionContrast is TOF"),
        ({"ImageType": ["ORIGINAL", "SECONDARY"]}, "ImageType"),
        ({"ProtocolName": "cal_head"}, "'cal' is in its description"),
        ({"SequenceVariant": "SP"}, "without inversion"),
        ({"MRAcquisitionType": "2D"}, "2D gradient echo"),
    ],
)
def test_a_guess_needs_more_than_timing(elements, doubt):
    one = header("", "GR", "MP", "3D", (9.8, 4.6, None, 8))
    assert taken(one)
    for keyword, value in elements.items():
        setattr(one, keyword, value)
    fits, why = weighting(one, "t1")
    assert not fits
    assert why.startswith("may be a T1 by its timing (TR ")
    assert doubt in why and "--series" in why


@pytest.mark.parametrize(
    "times",
    [
        (4000, 90),
        (3000, 12),
        (700, 40),
        (9000, 100, 2500),
        (5000, 12, 160),
        (2000, 3, 1500),
    ],
)
def test_timing_that_is_no_t1(times):
    assert weighting(header("", "SE", times=times), "t1")[1].startswith("is no T1 by its timing")


def test_a_series_without_name_and_timing_says_nothing():
    assert "does not tell its sequence" in weighting(header(), "t1")[1]


@pytest.mark.parametrize(
    "name",
    [
        *("t1_mprage_sag", "Sag T1 MPRAGE", "3D T1", "AX T1 FLAIR", "MPRAGE", "FSPGR BRAVO"),
        *("T1W 3D TFE", "memprage", "mocoMEMPRAGE", "MEMPRAGE RMS", "Ax BRAVO", "tfl3d1", "tfl"),
        *("SPGR", "3D IR-FSPGR", "IRSPGR", "mp rage sag", "MP-RAGE", "vibe tra", "e-THRIVE"),
        *("LAVA", "t1_ffe", "T1-FFE", "3D TFE", "SPACE T1", "CUBE T1", "Sag CUBE T1", "VISTA T1"),
        *("T1 VISTA", "FLASH 3D", "t1_fl3d_sag", "fl2d", "ADNI", "isotropic t1", "3DT1", "wT1"),
        *("T1 gewichtet", "T1 pondéré", "T1 pesada", "Ponderada T1", "T1強調", "sT1W_3D_TFE"),
        *("anat-T1w_acq-mprage", "t1axial", "T1WI", "T1 dark fluid", "t1_tirm_tra_dark-fluid"),
        *("mp2rage_UNI_Images", "MP2RAGE UNI-DEN", "T1 SENSE ref", "t1_space_sag_mc", "TIGRE"),
    ],
)
def test_names_of_t1(name):
    one = header(name)
    fits, why = weighting(one, "t1")
    assert fits, why
    assert "in its description" in why
    assert is_named(one, "t1")


@pytest.mark.parametrize(
    "name",
    [
        *("t2_tse_tra", "T2 FLAIR", "ep2d_diff", "DWI b1000", "SWI", "PD TSE", "TOF 3D"),
        *("t1 and t2", "FLAIR", "T1 map", "t1_mapping", "mp2rage_INV1", "mp2rage_T1_Images"),
        *("mp2rage_INV2", "MP2RAGE", "ADNI FLAIR", "T1rho", "T1 subtraction", "T1_TOF", "t2_fl2d"),
        *("tfl_b1map", "fl3d_tof", "DIR FLAIR vibe", "T1 perfusion", "dark-fluid", "pcasl"),
    ],
)
def test_names_of_other_sequences(name):
    fits, why = weighting(header(name), "t1")
    assert not fits
    assert "in its description" in why


@pytest.mark.parametrize("name", ["T2 FLAIR", "sT2W/FLAIR", "t2_tirm_tra_dark-fluid", "Sag FLAIR"])
def test_names_of_flair(name):
    assert weighting(header(name), "flair")[0]


@pytest.mark.parametrize("name", ["T1 FLAIR", "T2 TSE", "3D", "SWI"])
def test_names_that_are_no_flair(name):
    assert not weighting(header(name), "flair")[0]


@pytest.mark.parametrize("name", ["SPGR cal", "fl3d_pc", "TFE ref", "FLASH field", "vibe dyn"])
def test_a_technique_beside_a_word_of_doubt_is_asked_for(name):
    one = header(name, "GR", "SP", "3D", (9, 4, None, 8))
    fits, why = weighting(one, "t1")
    assert not fits
    assert why.startswith("may be a T1") and "in its description: look at it" in why
    assert not is_named(one, "t1")


def test_the_description_is_read_before_the_protocol():
    assert not taken(header("Ax SWAN", ProtocolName="BRAIN T1 FLAIR DWI"))
    assert taken(header("Ax T1", ProtocolName="BRAIN T1 T2 FLAIR DWI"))
    assert taken(header("series 5", ProtocolName="t1_mprage"))


@pytest.mark.parametrize("name", ["T1 localizer", "T1 Survey", "PosDisp: [3] t1", "Lokalizer T1"])
def test_localizers_are_told_by_any_name(name):
    assert "is a localizer" in _kind(header(name))
    assert "is a localizer" in _kind(header("T1", ProtocolName=name))


def test_the_uniform_image_of_mp2rage_is_derived_and_taken():
    assert taken(header("t1_mp2rage", ImageType=["DERIVED", "PRIMARY", "M", "UNI"]))
    assert not taken(header("t1_mp2rage", ImageType=["DERIVED", "PRIMARY", "M", "ND"]))
