"""Every scan that `translate` must not take."""

import json
import re

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import CliRunner

from hagan_clinic.cli import main
from hagan_clinic.imageio import SUFFIXES, read, write

AFFINE = np.diag([5.0, 5.0, 5.0, 1.0])


# Offsets of header fields: NIfTI-1, little endian, and MGH, big endian.
DIM, VOX_OFFSET, QFORM_CODE, SFORM_CODE, MAGIC = 40, 108, 252, 254, 344


MGH_DIMS, MGH_GOOD_RAS = 4, 28


def scan(path, **changed):
    """Write the good scan here, with header fields of an uncompressed file changed."""
    write(read(path.with_name("t1.nii.gz")), path, description="a scan")
    content = bytearray(path.read_bytes())
    for offset, value in changed.get("fields", {}).items():
        content[offset : offset + len(value)] = value
    path.write_bytes(content)


def nifti(array):
    return lambda path: nib.save(nib.Nifti1Image(array, AFFINE), path)


def freesurfer(array):
    return lambda path: nib.save(nib.MGHImage(array, AFFINE), path)


def itk(pixel, size=(8, 8, 8)):
    return lambda path: sitk.WriteImage(sitk.Image(size, pixel), path)


def values(*bad):
    def make(path):
        volume = read(path.with_name("t1.nii.gz"))
        array = volume.array.copy()
        array[10, 10, 10 : 10 + len(bad)] = bad
        write(volume.with_array(array), path, description="a scan")

    return make


def cut(share):
    def make(path):
        scan(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return make


def damaged(path):
    """Some bytes of a compressed file are others; without compression none could be told."""
    if path.suffix in (".nii", ".mgh"):
        return cut(0.9)(path)
    scan(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 9] = b"corrupted"
    path.write_bytes(data)
    return None


def fields(**values):
    """A scan whose header holds other bytes at these offsets, `at_40=b"..."`."""
    changed = {int(name.removeprefix("at_")): value for name, value in values.items()}
    return lambda path: scan(path, fields=changed)


def content(data):
    return lambda path: path.write_bytes(data)


def shorts(*numbers, order="<"):
    return np.array(numbers, f"{order}i2").tobytes()


def nrrd(*lines, sizes="8 8 8", data=bytes(1024)):
    text = ["NRRD0004", "type: short", "dimension: 3", f"sizes: {sizes}", "encoding: raw"]
    return content("\n".join([*text, "endian: little", *lines]).encode() + b"\n\n" + data)


def mha(*lines, size="8 8 8", data=bytes(1024)):
    text = ["ObjectType = Image", "NDims = 3", f"DimSize = {size}", "ElementType = MET_SHORT"]
    return content("\n".join([*text, *lines, "ElementDataFile = LOCAL\n"]).encode() + data)


RGB = np.zeros((8, 8, 8), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))


SPACE = ("space: left-posterior-superior", "space directions: (5,0,0) (0,5,0) (0,0,5)")


FOUR_AXES = r"has 4 axes \(8x8x8x3\), expected one 3D image"


NOT_REAL = r"holds .*{}.* values, expected one real number a voxel"


NOT_FINITE = r"2 of 32768 voxels are NaN or infinite"


TOO_LARGE = r"declares 32000x32000x32000(x1)? voxels, more than the \d+ that are read"


CUT = r"is truncated|is not a readable"


BAD_SCANS = [
    *(
        (f"{name}{suffix}", make, message)
        for suffix in SUFFIXES
        for name, make, message in (
            ("nan", values(np.nan, np.nan), NOT_FINITE),
            ("infinite", values(np.inf, -np.inf), NOT_FINITE),
            ("no_bytes", content(b""), r"is empty \(0 bytes\)"),
            ("cut_header", cut(0.01), "is truncated|is not a"),
            ("cut", cut(0.7), CUT),
            ("damaged", damaged, CUT),
            ("text", content(b"hello " * 1000), "is not a|holds uncompressed data"),
            ("dicom", content(bytes(128) + b"DICM" + bytes(900)), "is one DICOM file"),
        )
    ),
    ("four.nii.gz", nifti(np.ones((8, 8, 8, 3), np.float32)), FOUR_AXES),
    ("four.nii", nifti(np.ones((8, 8, 8, 3), np.float32)), FOUR_AXES),
    ("four.mgz", freesurfer(np.ones((8, 8, 8, 3), np.float32)), FOUR_AXES),
    ("four.nrrd", itk(sitk.sitkFloat32, (8, 8, 8, 3)), FOUR_AXES),
    ("four.mha", itk(sitk.sitkFloat32, (8, 8, 8, 3)), FOUR_AXES),
    ("flat.nii.gz", nifti(np.ones((8, 8), np.float32)), r"has 2 axes \(8x8\)"),
    ("flat.mha", itk(sitk.sitkFloat32, (8, 8)), r"has 2 axes \(8x8\)"),
    ("complex.nii.gz", nifti(np.ones((8, 8, 8), np.complex64)), NOT_REAL.format("complex")),
    ("complex.nrrd", itk(sitk.sitkComplexFloat32), NOT_REAL.format("complex")),
    ("rgb.nii.gz", nifti(RGB), NOT_REAL.format("RGB")),
    ("rgb.nrrd", itk(sitk.sitkVectorUInt8), NOT_REAL.format("vector")),
    ("rgb.mha", itk(sitk.sitkVectorUInt8), NOT_REAL.format("vector")),
    ("huge.nii", fields(at_40=shorts(3, 32000, 32000, 32000)), TOO_LARGE),
    ("huge.mgh", fields(at_4=np.array([32000] * 3, ">i4").tobytes()), TOO_LARGE),
    ("huge.nrrd", nrrd(*SPACE, sizes="32000 32000 32000"), TOO_LARGE),
    ("huge.mha", mha(size="32000 32000 32000"), TOO_LARGE),
    ("none.nii", fields(at_40=shorts(3, 32, 0, 32)), "is empty: its header declares 32x0x32"),
    ("minus.nii", fields(at_40=shorts(3, 32, -32, 32)), "is empty: its header declares 32x-32x32"),
    ("axes.nii", fields(at_40=shorts(300)), "has 7 axes"),
    ("offset.nii", fields(at_108=np.float32(1e30).tobytes()), "has a damaged header"),
    ("pair.nii", fields(at_344=b"ni1\0"), "is the header of a NIfTI pair"),
    ("nowhere.nii", fields(at_252=shorts(0), at_254=shorts(0)), ".*its orientation is unknown"),
    ("nowhere.mgh", fields(at_28=shorts(0, order=">")), "has no orientation"),
    ("nowhere.nrrd", nrrd("spacings: 5 5 5"), ".*its orientation is unknown"),
    ("elsewhere.nrrd", nrrd(*SPACE, "data file: t1.nii.gz"), "keeps its voxels in another file"),
    (
        "elsewhere.mha",
        content(b"ObjectType = Image\nNDims = 3\nElementDataFile = t1.nii.gz\n"),
        "keeps its voxels in another file",
    ),
    (
        "metres.nii.gz",
        lambda path: nib.save(nib.Nifti1Image(RGB["R"], AFFINE / 1e4), path),
        ".*in mm",
    ),
    ("picture.jpg", content(b"\xff\xd8" * 100), r"has the unknown suffix '\.jpg'"),
    ("t1ce.nii.gz", scan, "looks contrast-enhanced .'t1ce' in its name.*--allow-contrast"),
]


"""Name of the file, what writes it, what is said of it."""


@pytest.mark.parametrize(("name", "make", "message"), BAD_SCANS, ids=[row[0] for row in BAD_SCANS])
def test_scan_that_cannot_be_used(refused, folder, name, make, message):
    make(folder / name)
    refused(name, "-o", "flair.nii.gz", code=3, message=f"{re.escape(name)}: ({message})")


@pytest.mark.parametrize("value", [0, 7])
def test_scan_without_contrast(refused, folder, value):
    nifti(np.full((32, 32, 32), value, np.float32))(folder / "flat.nii.gz")
    message = rf"flat\.nii\.gz: all voxels have the value {value}: the image is empty"
    refused("flat.nii.gz", "-o", "flair.nii.gz", code=3, message=message)


@pytest.mark.parametrize("field", ["ContrastBolusAgent", "SeriesDescription", "ProtocolName"])
def test_scan_whose_sidecar_tells_of_contrast_agent(refused, folder, field):
    (folder / "t1.json").write_text(json.dumps({field: "t1 +Gd"}))
    refused("t1.nii.gz", "-o", "flair.nii.gz", code=3, message=f"contrast-enhanced .*{field}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_result_of_our_own(refused, folder, toy_generator, suffix):
    made = ["translate", "t1.nii.gz", "-o", f"made{suffix}", "--model", str(toy_generator)]
    assert CliRunner().invoke(main, [*made, "--device", "cpu"]).exit_code == 0
    for allowed in ((), ("--allow-contrast",)):
        refused(
            *(f"made{suffix}", "-o", "again.nii.gz", *allowed),
            code=3,
            message="this image is synthetic, expected a scan",
        )
