"""Real data, and small real generators whose receptive field is known."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from filelock import FileLock
from onnx import TensorProto, helper, numpy_helper

from hagan_clinic.recipe import Recipe

TOY_HALO = 4
"""Slices that make slabs of the toy generator exact: it reads 3 from beside a slab, in fours."""


@pytest.fixture(scope="session")
def test_data():
    """The folder of real patients."""
    folder = os.environ.get("HAGAN_TEST_DATA")
    if not folder:
        pytest.skip("HAGAN_TEST_DATA does not name the folder of real patients")
    return Path(folder)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """A function that makes a folder once for all worker processes, for tests that only read it.

    `made_once(name, make)` gives the folder that `make(folder)` has filled.
    """
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made_once"
    root.mkdir(exist_ok=True)
    given = set()

    def made(name, make):
        folder, record = root / name, root / f"{name}.json"
        with FileLock(root / f"{name}.lock"):
            if not record.exists():
                shutil.rmtree(folder, ignore_errors=True)  # half made by another that failed
                folder.mkdir()
                make(folder)
                record.write_text(json.dumps(_stamps(folder)))
        given.add((folder, record))
        return folder

    yield made
    for folder, record in given:
        assert _stamps(folder) == json.loads(record.read_text()), f"a test changed {folder}"


def _stamps(folder):
    """Size and time of every file."""
    files = {str(path.relative_to(folder)): path.stat() for path in sorted(folder.rglob("*"))}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in files.items()}


T1_SERIES = [
    "brainix/t1",
    "sag_mprage",
    "xa30_enhanced/5_anat-T1w_acq-tfl",
    "decubitus/HFS/3_t1_fl2d_sag",
    "decubitus/HFP/2_t1_fl2d_sag",
]


@pytest.fixture(scope="session", params=T1_SERIES)
def t1_series(request, test_data):
    """The folder of each T1 series of real patients: Philips and Siemens, one of them enhanced."""
    return test_data / "dicom" / request.param


@pytest.fixture(scope="session")
def toy_generator(tmp_path_factory):
    """A one-channel generator with a low-resolution branch, at 2 mm."""
    return build_generator(tmp_path_factory.mktemp("toy") / "toy.onnx")


@pytest.fixture(scope="session")
def make_generator():
    """The function that builds generators, for tests that need an odd one."""
    return build_generator


@pytest.fixture
def store():
    """A function that puts an instance of any content into a node's spool, as `adopt` does."""
    from hagan_clinic.node.arrivals import adopt

    def stored(spool, series_uid, instance_uid, content):
        file = spool.temporary / instance_uid
        try:
            file.write_bytes(content)
            return adopt(spool, series_uid, instance_uid, file)
        finally:
            file.unlink(missing_ok=True)

    return stored


@pytest.fixture
def open_folder():
    """A folder that every user can come through, unlike those of `tmp_path`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o711)
        yield path


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def build_generator(
    path,
    *,
    sources=("t1",),
    spacing=(2.0, 2.0, 2.0),
    context=True,
    channels=None,
    opset=21,
    factor=2.0,
    box=(),
    box_grows=False,
    nan=False,
    metadata=None,
):
    """Write a small generator of the real one's interface and structure.

    Its context holds the mean of the whole volume, so that a slab translated without the whole
    volume's context is visibly wrong; source convolutions, trilinear interpolation of the context
    and the last convolution read three voxels beside each output voxel.
    """
    rng = np.random.default_rng(7)
    channels = channels or len(sources)
    weights, nodes = [], []

    def weight(name, *shape, scale=0.25):
        value = (scale * rng.standard_normal(shape)).astype(np.float32)
        weights.append(numpy_helper.from_array(value, name))
        return name

    def node(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def convolution(source, name, into, out):
        kernel = weight(f"{name}.weight", out, into, 3, 3, 3)
        return node("Conv", [source, kernel, weight(f"{name}.bias", out)], name, pads=[1] * 6)

    fine = node("Relu", [convolution("source", "fine_conv", channels, 6)], "fine")
    features = 6
    if context:
        low = node("AveragePool", ["source"], "low", kernel_shape=[4] * 3, strides=[4] * 3)
        axes = numpy_helper.from_array(np.array([2, 3, 4], np.int64), "axes")
        weights.append(axes)
        mean = node("ReduceMean", [low, "axes"], "mean", keepdims=1)
        globally = node("Add", [low, mean], "globally")
        node("Tanh", [convolution(globally, "low_conv", channels, 4)], "context")
        weights.append(numpy_helper.from_array(np.array([1, 1, 4, 4, 4], np.float32), "scales"))
        upper = node("Resize", ["context", "", "scales"], "upper", mode="linear")
        fine = node("Concat", [upper, fine], "joined", axis=1)
        features += 4
    result = convolution(fine, "result", features, 2)
    weights.append(numpy_helper.from_array(np.array([1, 1], np.int64), "halves"))
    nodes.append(helper.make_node("Split", [result, "halves"], ["raw", "log_scale"], axis=1))
    node("Tanh", ["raw"], "target")
    if nan:
        log = node("Sub", ["log_scale", "log_scale"], "zero")
        node("Log", [node("Sub", [log, node("Exp", ["log_scale"], "e")], "minus")], "scale")
    else:
        node("Exp", [node("Tanh", ["log_scale"], "bounded")], "scale")

    def tensor(name, count, size):
        shape = [1, count, *(f"{size}_{axis}" for axis in "dhw")]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    outputs = [tensor("target", 1, "full"), tensor("scale", 1, "full")]
    if context:
        outputs.append(tensor("context", 4, "low"))
    inputs = [tensor("source", channels, "full")]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, initializer=weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    recipe = Recipe(
        sources=tuple(sources),
        target="flair",
        spacing=spacing,
        multiple=16,
        halo=TOY_HALO,
        interval_factor=factor,
        box=box,
        box_grows=box_grows,
        margin_mm=4.0 if box_grows else Recipe.margin_mm,
    )
    card = {"name": path.stem, "version": "1", "licence": "CC0-1.0", "description": "A toy."}
    entries = {
        "hagan_clinic.schema": "1",
        "hagan_clinic.recipe": recipe.to_json(),
        "hagan_clinic.card": json.dumps(card),
        "hagan_clinic.training": json.dumps({"steps": 0}),
        **(metadata or {}),
    }
    helper.set_model_props(model, {k: v for k, v in entries.items() if v is not None})
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def export_quickly():
    """A function that exports a translator, traced and measured on small volumes to save time."""
    from hagan_clinic.onnx_export import export_run, translator

    def export(run, path):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(translator, "TRACED_SIDES", (2, 3, 4))
            patch.setattr(translator, "PROBED_SIDES", (32, 64))
            return export_run(run, path)

    return export


@pytest.fixture(scope="session")
def small_cohort(tmp_path_factory):
    """Ten subjects of 26x32x26 voxels; FLAIR is a smooth function of T1 and of the place."""
    import nibabel as nib
    from scipy import ndimage

    folder = tmp_path_factory.mktemp("cohort")
    rng = np.random.default_rng(5)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in (26, 32, 26)), indexing="ij")
    brain = sum(axis**2 for axis in axes) < 0.8
    affine = np.diag([6.0, 6.0, 6.0, 1.0])
    for number in range(10):
        texture = ndimage.gaussian_filter(rng.standard_normal(brain.shape), 1.5)
        t1 = np.where(brain, 100 + 150 * texture / np.abs(texture).max(), 0)
        flair = np.where(brain, 220 - 0.8 * t1 + 30 * axes[2], 0)
        subject = folder / f"p{number}"
        subject.mkdir()
        for name, image in {"t1": t1, "flair": flair}.items():
            nib.save(
                nib.Nifti1Image(image.astype(np.int16), affine),
                subject / f"p{number}_{name}.nii.gz",
            )
    return folder


@pytest.fixture(scope="session")
def real_cohort(test_data, tmp_path_factory):
    """Six patients of the real cohort with their shared brain mask, as a CSV with its split."""
    root = test_data / "lgg_mni"
    names = sorted(folder.name for folder in root.iterdir() if folder.is_dir())[:6]
    sides = ["train"] * 3 + ["calibration"] * 2 + ["test"]
    path = tmp_path_factory.mktemp("real_cohort") / "cohort.csv"
    rows = ["subject,t1,mask,split,side"]
    for number, (name, side) in enumerate(zip(names, sides, strict=True)):
        scan = root / name / f"{name}_t1.nii.gz"
        rows.append(f"{name},{scan},{root / 'brain_mask.nii.gz'},{side},{'ab'[number % 2]}")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="session")
def unconditional_run(real_cohort, made_once):
    """The run folder of a few steps of `--mode unconditional` on real brains at 32 cubed."""
    from click.testing import CliRunner

    from hagan_clinic.cli import main

    def train(folder):
        arguments = ["train", "--mode", "unconditional", "--preset", "tiny", "--device", "cpu"]
        arguments += ["--data", str(real_cohort), "-o", str(folder / "run"), "--steps", "4"]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output

    return made_once("unconditional", train) / "run"


@pytest.fixture(scope="session")
def unconditional_parts(unconditional_run, made_once):
    """The ONNX files of generator and encoder of the unconditional run, by the name of the part."""
    return _parts(made_once, "unconditional_parts", unconditional_run)


@pytest.fixture(scope="session")
def make_unconditional_run():
    """The function that makes an unconditional run of random weights, without training."""
    return build_unconditional_run


@pytest.fixture(scope="session")
def random_run(made_once):
    """An unconditional run of random weights, as `make_unconditional_run` makes it."""
    return made_once("random_run", build_unconditional_run)


@pytest.fixture(scope="session")
def random_parts(random_run, made_once):
    """The ONNX files of generator and encoder of `random_run`, by the name of the part."""
    return _parts(made_once, "random_parts", random_run)


def _parts(made_once, name, run):
    from hagan_clinic.onnx_export import PARTS, export_part

    def export(folder):
        for part in PARTS:
            export_part(run, folder / f"{part}.onnx", part)

    folder = made_once(name, export)
    return {part: folder / f"{part}.onnx" for part in PARTS}


def build_unconditional_run(folder, **settings):
    """Write a run folder as training leaves it, at 32 cubed, with large random weights."""
    import torch

    from hagan_clinic.training.checkpoint import save_tensors
    from hagan_clinic.unconditional import Autoencoder
    from hagan_clinic.unconditional.settings import UnconditionalConfig

    sizes = {"size": (32, 32, 32), "spacing": 6.0, "slab": 4, "latent": 8}
    sizes |= {"width": 64, "discriminator_width": 64}
    config = UnconditionalConfig(**sizes | {"data": "private"} | settings)
    torch.manual_seed(1)
    autoencoder = Autoencoder(config.sizes()).eval()
    for parameter in autoencoder.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    (folder / "best").mkdir(parents=True)
    average = torch.optim.swa_utils.AveragedModel(autoencoder)
    save_tensors(average.state_dict(), folder / "best" / "average.safetensors")
    state = {"step": 7, "seconds": 3.2, "metrics": {"mmd": 0.1}}
    (folder / "best" / "state.json").write_text(json.dumps(state))
    (folder / "config.json").write_text(config.to_json())
    (folder / "facts.json").write_text(json.dumps({"subjects": {"train": 3}, "box": [32, 32, 32]}))
    return autoencoder
