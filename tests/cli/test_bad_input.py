"""Every input that `translate` must not take: one line, its exit code, and no file left behind."""

import hashlib
import json
import os
import re
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import CliRunner

from hagan_clinic.cli import main
from hagan_clinic.imageio import SUFFIXES, read, write
from hagan_clinic.runtime import library, providers
from hagan_clinic.volume import Volume

AFFINE = np.diag([5.0, 5.0, 5.0, 1.0])
# Offsets of header fields: NIfTI-1, little endian, and MGH, big endian.
DIM, VOX_OFFSET, QFORM_CODE, SFORM_CODE, MAGIC = 40, 108, 252, 254, 344
MGH_DIMS, MGH_GOOD_RAS = 4, 28


def head(seed=0):
    """A textured block of 120 mm."""
    array = np.zeros((32, 32, 32), np.float32)
    array[4:28, 4:28, 4:28] = np.random.default_rng(seed).integers(200, 900, (24, 24, 24))
    return Volume(array, AFFINE)


def scan(path, **changed):
    """Write a scan, with header fields of an uncompressed file changed: offset to value."""
    write(head(), path, description="a scan")
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
        volume = head()
        volume.array[10, 10, 10 : 10 + len(bad)] = bad
        write(volume, path, description="a scan")

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


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where commands run: one good scan, and an earlier result that is to be kept."""
    monkeypatch.chdir(tmp_path)
    scan(tmp_path / "t1.nii.gz")
    (tmp_path / "earlier.nii.gz").write_text("kept")
    return tmp_path


@pytest.fixture
def refused(folder, toy_generator, capfd):
    """The claim: a call fails with this code and message in one line, and changes no file."""

    def check(*arguments, code, message, model=toy_generator, device="cpu"):
        before = contents(folder)
        options = ["--model", str(model), "--device", device, "--threads", "1"]
        result = CliRunner().invoke(main, ["translate", *map(str, arguments), *options])
        assert result.exit_code == code, result.output
        assert re.fullmatch(r"error: [^\n]+\n", result.stderr)
        assert re.search(message, result.stderr)
        assert result.stdout == ""
        assert capfd.readouterr() == ("", "")  # what libraries print past Python
        assert contents(folder) == before

    return check


def contents(folder):
    """Every file below a folder, and what it holds."""
    paths = sorted(folder.rglob("*"))
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in paths}


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


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.nii.gz", "-o", "flair.nii.gz"], 3, r"none\.nii\.gz: no such file"),
        (["--source", "t2=t1.nii.gz", "-o", "flair.nii.gz"], 3, "given t2, and this model trans"),
        (["t1.nii.gz", "-o", "flair.nii.gz", "--mask", "none.nii.gz"], 3, "no such file"),
        (["t1.nii.gz", "-o", "flair.nii.gz", "--max-memory", "some"], 3, "amount of memory"),
        (["t1.nii.gz", "-o", "flair.nii.gz", "--max-memory", "1KiB"], 5, "raise --max-memory"),
        (["t1.nii.gz", "-o", "t1.nii.gz"], 6, r"this output is the input t1\.nii\.gz"),
        (["t1.nii.gz", "-o", "t1.nii.gz", "--overwrite"], 6, "this output is the input"),
        (["t1.nii.gz", "-o", "linked.nii.gz", "--overwrite"], 6, "this output is the input"),
        (["t1.nii.gz", "-o", "t1.mha"], 6, r"t1\.json: this output is the input"),
        (["t1.nii.gz", "-o", "a.mha", "--uncertainty", "t1.nii.gz"], 6, "this output is the input"),
        (["t1.nii.gz", "-o", "a.mha", "--report", "a.json"], 6, "two outputs have this path"),
        (["t1.nii.gz", "-o", "flair.png"], 6, r"has \.png, expected one of \.nii"),
        (["t1.nii.gz", "-o", "flair"], 6, "has no suffix, expected one of"),
        (["t1.nii.gz", "-o", "nowhere/flair.nii.gz"], 6, "nowhere does not exist; create it"),
        (["t1.nii.gz", "-o", "t1.nii.gz/flair.nii.gz"], 6, "does not exist; create it first"),
        (["t1.nii.gz", "-o", "earlier.nii.gz"], 6, "exists already; .*--overwrite"),
    ],
)
def test_call_that_cannot_be_answered(refused, folder, arguments, code, message):
    (folder / "t1.json").write_text("{}")
    (folder / "linked.nii.gz").symlink_to("t1.nii.gz")
    refused(*arguments, code=code, message=message)


@pytest.mark.parametrize("option", ["-o", "--uncertainty", "--preview", "--report"])
def test_folder_that_cannot_be_written(refused, closed_folder, option):
    names = {"--preview": "p.png", "--report": "r.json"}
    places = {"-o": "flair.nii.gz", option: closed_folder / names.get(option, "u.nii.gz")}
    refused(
        *("t1.nii.gz", *(part for place in places.items() for part in place)),
        code=6,
        message="closed cannot be written; choose another",
    )


@pytest.fixture
def closed_folder(folder):
    """A folder that takes no new file."""
    closed = folder / "closed"
    closed.mkdir(mode=0o555)
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(closed)]  # as root may write anywhere
    mounted = shutil.which("mount") and not subprocess.run(mount, capture_output=True).returncode
    if not mounted and os.geteuid() == 0:
        pytest.skip("root cannot be kept from a folder here: no file system can be mounted")
    yield closed
    if mounted:
        subprocess.run(["umount", str(closed)], check=True)


def test_folder_that_refuses_only_when_it_is_written(refused, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("hagan_clinic.imageio.nifti.write", refuse)
    refused("t1.nii.gz", "-o", "flair.nii.gz", code=6, message="the folder cannot be written")


@pytest.fixture
def two_sources(make_generator, tmp_path_factory):
    """A model that translates t1 and t2 together."""
    return make_generator(tmp_path_factory.mktemp("two") / "two.onnx", sources=("t1", "t2"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["t1.nii.gz"],
            r"given one scan, and this model needs 2 \(t1, t2\): give --source t1=FILE",
        ),
        (["--source", "t1=t1.nii.gz"], r"given t1, and this model translates t1 \+ t2 to flair"),
        (
            ["--source", "t1=t1.nii.gz", "--source", "t3=t1.nii.gz"],
            r"given t1, t3, and this model translates t1 \+ t2 to flair: give exactly these",
        ),
        (
            ["--source", "t1=t1.nii.gz", "--source", "t2=moved.nii.gz"],
            "t2 .* and t1 .* lie on different grids",
        ),
    ],
)
def test_scans_that_are_not_those_of_the_model(refused, folder, two_sources, arguments, message):
    moved = AFFINE.copy()
    moved[0, 3] = 7
    write(Volume(head(seed=1).array, moved), folder / "moved.nii.gz", description="a scan")
    refused(*arguments, "-o", "flair.nii.gz", model=two_sources, code=3, message=message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda array: np.zeros_like(array), "the brain mask is empty"),
        (lambda array: array[:-1] > 0, "mask .* lie on different grids"),
        (lambda array: np.stack([array] * 3, axis=-1), r"has 4 axes \(32x32x32x3\)"),
    ],
    ids=["empty", "on another grid", "of four axes"],
)
def test_mask_that_cannot_be_used(refused, folder, change, message):
    mask = np.asarray(change(read(folder / "t1.nii.gz").array), np.uint8)
    nib.save(nib.Nifti1Image(mask, AFFINE), folder / "mask.nii.gz")
    refused("t1.nii.gz", "-o", "flair.nii.gz", "--mask", "mask.nii.gz", code=3, message=message)


def _cut_model(path, whole):
    path.write_bytes(whole[:-100])


def _changed_model(path, whole):
    path.write_bytes(whole)
    digest = hashlib.sha256(whole + b"!").hexdigest()
    path.with_name("SHA256").write_text(f"{digest}  {path.name}\n")


@pytest.mark.parametrize(
    ("model", "make", "message"),
    [
        ("./none.onnx", None, r"none\.onnx: cannot read the model \(No such file"),
        ("t1_to_nothing", None, "No bundled model is called 't1_to_nothing'"),
        ("./bad.onnx", lambda path, _: path.write_bytes(b""), "without a network in it"),
        ("./bad.onnx", lambda path, _: path.write_bytes(b"rubbish"), "not an ONNX file"),
        ("./bad.onnx", _cut_model, r"bad\.onnx: (not an ONNX file|a damaged ONNX file)"),
        ("./bad.onnx", _changed_model, "the file is damaged or was changed"),
    ],
    ids=["no such file", "no such name", "empty", "rubbish", "cut", "changed"],
)
def test_model_that_cannot_be_used(
    refused, folder, toy_generator, monkeypatch, model, make, message
):
    monkeypatch.setattr(library, "CHECKOUT", folder / "export")
    monkeypatch.setattr(library, "INSTALLED", folder / "models")
    if make:
        make(folder / model, toy_generator.read_bytes())
    refused("t1.nii.gz", "-o", "flair.nii.gz", model=model, code=4, message=message)


def test_device_that_cannot_be_had(refused, monkeypatch):
    monkeypatch.setattr(providers, "_driver", lambda: None)
    call = ("t1.nii.gz", "-o", "flair.nii.gz")
    refused(*call, device="cuda", code=5, message="--device cuda cannot be used: no NVIDIA driver")
    both = {"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1"}
    monkeypatch.setattr(providers, "runtime_packages", lambda: both)
    for device in ("cuda", "cpu"):
        refused(
            *call, device=device, code=5, message="both onnxruntime and onnxruntime-gpu are inst"
        )
