import json

import numpy as np
import pytest

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import DESCRIPTION, SUFFIXES
from hagan_clinic.imageio import write as write_volume
from hagan_clinic.imageio.contrast import contrast_sign
from hagan_clinic.imageio.sidecar import sidecar_path
from hagan_clinic.runtime.refusals import refuse_unsuitable
from hagan_clinic.volume import Volume


@pytest.fixture
def scan(tmp_path):
    """Write a scan with a name, a description in its header and a sidecar."""

    def write(name="t1.nii.gz", description="", sidecar=None):
        array = np.zeros((4, 4, 4), np.float32)
        write_volume(Volume(array, np.eye(4)), tmp_path / name, description=description)
        if sidecar is not None:
            sidecar_path(tmp_path / name).write_text(json.dumps(sidecar))
        return tmp_path / name

    return write


CONTRAST_NAMES = [
    "BraTS-GLI-00001-000-t1c.nii.gz",
    "BraTS19_CBICA_AAB_1_t1ce.nii.gz",
    "sub-01_ce-gadolinium_T1w.nii.gz",
    "T1_MPRAGE_POST.nii.gz",
    "ax T1 +C.nii",
    "T1+C.nii",
    "t1_gd.mha",
    "T1Gd.nrrd",
    "3d_t1_contrast.nii.gz",
    "AX_3D_T1W+C.nii.gz",
    "sub-01_ses-pre_ce-gad_T1w.nii.gz",
]
NATIVE_NAMES = [
    "BraTS-GLI-00001-000-t1n.nii.gz",
    "sub-01_T1w.nii.gz",
    "t1.nii.gz",
    "postop_t1.nii.gz",
    "sub-02_t1_post_op.nii.gz",
    "t1_post-surgery.nii.gz",
    "t1_pre_contrast.nii.gz",
    "T1_no_contrast.nii.gz",
    "T1_noncontrast.nii.gz",
    "cedric_t1.nii.gz",
    "sub-gdansk01_T1w.nii.gz",
    "sub-01_ses-post_T1w.nii.gz",
    "GD_07_t1.nii.gz",
    "low_contrast_t1.nii.gz",
    "CE_001_t1.mha",
]


@pytest.mark.parametrize("name", CONTRAST_NAMES)
def test_contrast_is_seen_in_the_name(scan, name):
    with pytest.raises(InputError, match=r"contrast-enhanced \(.*in its name\).*--allow-contrast"):
        refuse_unsuitable(scan(name), "t1")


@pytest.mark.parametrize("name", NATIVE_NAMES)
def test_native_scans_are_taken(scan, name):
    refuse_unsuitable(scan(name), "t1")


@pytest.mark.parametrize(
    "sidecar",
    [
        {"ContrastBolusAgent": "Gadovist"},
        {"SeriesDescription": "t1_mprage_sag +C"},
        {"ProtocolName": "T1 POST"},
        {"ContrastBolusIngredient": "GADOLINIUM"},
        {"ContrastBolusVolume": 7.5},
        {"ContrastBolusStartTime": "10:15:00"},
        {"ContrastBolusIngredient": ["GADOLINIUM"]},
    ],
)
def test_contrast_is_seen_in_the_sidecar(scan, sidecar):
    with pytest.raises(InputError, match=r"contrast-enhanced \(.*of its sidecar|in its sidecar"):
        refuse_unsuitable(scan(sidecar=sidecar), "t1")


@pytest.mark.parametrize(
    "sidecar",
    [
        {"ContrastBolusAgent": "None"},
        {"ContrastBolusAgent": "", "SeriesDescription": "t1_mprage_sag"},
        {"ContrastBolusVolume": 0, "ContrastBolusIngredient": None, "ContrastBolusRoute": []},
        {"SeriesDescription": "AX T1 PRE", "ProtocolName": "BRAIN POST"},
    ],
)
def test_sidecar_without_contrast_is_no_reason(scan, sidecar):
    assert refuse_unsuitable(scan(sidecar=sidecar), "t1") == []


@pytest.mark.parametrize(
    "content",
    [
        b'{"SeriesDescription": "Sch\xe4del T1", "ContrastBolusAgent": "Dotarem"}',
        b'{"SeriesDescription":"t1\r","ContrastBolusAgent":"Dotarem"}',
        b'{"SeriesDescription": "T1 +C", "cut off',
    ],
)
def test_contrast_is_seen_in_a_damaged_sidecar(scan, content):
    path = scan()
    sidecar_path(path).write_bytes(content)
    with pytest.raises(InputError, match=r"looks contrast-enhanced .*sidecar"):
        refuse_unsuitable(path, "t1")
    assert refuse_unsuitable(path, "t1", allow_contrast=True) == []


def test_a_sidecar_that_cannot_be_read_is_warned_of(scan):
    path = scan()
    sidecar_path(path).write_text('{"SeriesDescription": "T1", "cut off')
    (warning,) = refuse_unsuitable(path, "t1")
    assert "t1 has a sidecar that cannot be read (it is no JSON)" in warning
    assert "correct t1.json" in warning


def test_contrast_may_be_allowed(scan):
    refuse_unsuitable(scan("t1ce.nii.gz"), "t1", allow_contrast=True)


def test_model_of_contrast_enhanced_scans_takes_them(scan):
    assert contrast_sign("t1c")
    refuse_unsuitable(scan("t1c.nii.gz"), "t1c")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("allow_contrast", [False, True])
def test_synthetic_scan_is_refused_always_and_without_its_sidecar(scan, suffix, allow_contrast):
    marked = scan(f"t1{suffix}", description=DESCRIPTION)
    with pytest.raises(InputError, match="this image is synthetic, expected a scan"):
        refuse_unsuitable(marked, "t1", allow_contrast=allow_contrast)


def test_synthetic_scan_is_known_by_its_sidecar_alone(tmp_path):
    path = tmp_path / "flair.mha"
    sidecar_path(path).write_text(json.dumps({"synthetic": True}))
    with pytest.raises(InputError, match="this image is synthetic"):
        refuse_unsuitable(path, "t1")
