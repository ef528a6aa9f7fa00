"""The examples of export/examples against `translate`, on a real head in two orientations."""

import ast
import itertools
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import onnx
import pytest

import hagan_clinic
from hagan_clinic.recipe import Recipe

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "export" / "examples"
MODEL = ROOT / "export" / "t1_to_flair" / "t1_to_flair.onnx"
SAMPLE = ROOT / "examples" / "open_ms_patient07" / "open_ms_patient07_t1.nii.gz"


def turned(image):
    """The same head as a sagittal, oblique scan: axes permuted and flipped, affine rotated."""
    axes = nib.orientations.axcodes2ornt(("A", "S", "L"))
    turned = image.as_reoriented(axes)
    angle = np.deg2rad(12)
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return nib.Nifti1Image(np.asarray(turned.dataobj), rotation @ turned.affine)


def with_box(grows, path):
    """The bundled model, said to take boxes of one size or of any."""
    proto = onnx.load(MODEL)
    (entry,) = (one for one in proto.metadata_props if one.key == "hagan_clinic.recipe")
    recipe = Recipe.from_json(entry.value)
    entry.value = replace(recipe, box_grows=grows, margin_mm=6.0).to_json()
    onnx.save(proto, path)


@pytest.fixture(
    scope="module",
    params=itertools.product(["axial", "sagittal, oblique"], ["fixed", "growing"]),
    ids=", ".join,
)
def head(request, tmp_path_factory):
    """A T1, its brain mask, a model, and what `translate` makes of them."""
    orientation, box = request.param
    folder = tmp_path_factory.mktemp("head")
    with_box(box == "growing", folder / "model.onnx")
    image = nib.load(SAMPLE)
    if orientation != "axial":
        image = turned(image)
    nib.save(image, folder / "t1.nii.gz")
    brain = np.asarray(image.dataobj) > 0
    # A mask of the middle alone, so that the head reaches beyond it and a neck is left below.
    places = np.indices(brain.shape).T - np.array(brain.shape) / 2
    brain &= np.linalg.norm(places / (0.4 * np.array(brain.shape)), axis=-1).T < 1
    mask = nib.Nifti1Image(brain.astype(np.uint8), image.affine)
    nib.save(mask, folder / "mask.nii.gz")
    result = hagan_clinic.translate(
        folder / "t1.nii.gz", mask=folder / "mask.nii.gz", model=folder / "model.onnx"
    )
    return folder, result.volume


@pytest.fixture(scope="module")
def javascript(tmp_path_factory):
    """The JavaScript example with what it needs beside it."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: the JavaScript example cannot be run")
    folder = tmp_path_factory.mktemp("javascript") / "example"
    ignored = shutil.ignore_patterns("node_modules")
    shutil.copytree(EXAMPLES / "javascript", folder, ignore=ignored)
    environment = os.environ | {"ONNXRUNTIME_NODE_INSTALL_CUDA": "skip"}
    done = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund"],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"npm cannot install onnxruntime-node: {done.stderr[-200:]}")
    return folder


def assert_is_what_translate_gives(command, head):
    folder, expected = head
    output = folder / f"{Path(command[0]).name}.nii.gz"
    files = [folder / "model.onnx", folder / "t1.nii.gz", folder / "mask.nii.gz", output]
    subprocess.run([*command, *map(str, files)], check=True, timeout=300)
    image = nib.load(output)
    np.testing.assert_array_equal(image.affine, nib.load(folder / "t1.nii.gz").affine)
    assert image.get_data_dtype() == np.float32
    assert image.header["descrip"].item() == b"SYNTHETIC, NOT FOR DIAGNOSIS"
    found = image.get_fdata()
    assert np.abs(found - expected.array).max() < 1e-4
    assert found.std() > 0.05


def test_the_python_example_gives_what_translate_gives(head):
    script = EXAMPLES / "python" / "translate.py"
    assert_is_what_translate_gives([sys.executable, str(script)], head)


def test_the_javascript_example_gives_what_translate_gives(head, javascript):
    assert_is_what_translate_gives(["node", str(javascript / "translate.js")], head)


def test_the_python_example_needs_numpy_and_onnxruntime_alone():
    tree = ast.parse((EXAMPLES / "python" / "translate.py").read_text("utf-8"))
    named = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            named.add(node.module.split(".")[0])
    assert named - sys.stdlib_module_names == {"numpy", "onnxruntime"}
