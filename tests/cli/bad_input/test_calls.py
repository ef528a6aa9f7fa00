"""Every call, output, mask, model and device that `translate` must refuse."""

import hashlib
import os
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest

from hagan_clinic.imageio import read, write
from hagan_clinic.runtime import library, providers
from hagan_clinic.volume import Volume

AFFINE = np.diag([5.0, 5.0, 5.0, 1.0])


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
def test_scans_that_are_not_those_of_the_model(
    head, refused, folder, two_sources, arguments, message
):
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
