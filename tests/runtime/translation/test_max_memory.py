"""What `max_memory` bounds."""

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from hagan_clinic.errors import DeviceError, InputError
from hagan_clinic.runtime import Translator, translate
from hagan_clinic.runtime.footprint import footprint
from hagan_clinic.volume import Volume


def test_slabs_under_max_memory_give_the_whole_volume_s_result(scan, toy_generator, monkeypatch):
    # So that the limit is the network's alone, whatever the process has loaded meanwhile.
    monkeypatch.setattr("hagan_clinic.runtime.memory.resident", lambda: 0)
    whole = translate(scan, model=toy_generator, device="cpu")
    limited = translate(scan, model=toy_generator, device="cpu", max_memory="42MiB")
    assert whole.report["network"]["slabs"] == 1
    assert limited.report["network"]["slabs"] > 2
    for name in ("volume", "uncertainty"):
        pair = [getattr(result, name).array for result in (whole, limited)]
        assert np.abs(pair[0] - pair[1]).max() < 1e-4


def test_peak_stays_under_max_memory(make_head, make_generator, tmp_path):
    """A fresh process, a volume that whole would take twice the limit."""
    limit = 380 * 2**20
    scan, report = tmp_path / "t1.nii", tmp_path / "r.json"
    nib.save(nib.Nifti1Image(make_head(shape=(160, 160, 128)), np.eye(4)), scan)
    model = make_generator(tmp_path / "toy.onnx", spacing=(1.0, 1.0, 1.0))
    code = (
        "import sys; from hagan_clinic.runtime import translate\n"
        "scan, model, report, limit = sys.argv[1:]\n"
        "out = report.replace('r.json', 'flair.mha')\n"
        "translate(scan, out, model=model, report=report, max_memory=limit, device='cpu')"
    )
    arguments = [str(part) for part in (scan, model, report, limit)]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    told = json.loads(report.read_text())
    assert told["network"]["slabs"] > 1
    assert told["memory"]["peak_above_start_bytes"] < limit


def test_limit_counts_what_is_held_beside_the_network(
    make_head, make_generator, tmp_path, monkeypatch
):
    """A large scan, and a network at 8 mm that takes next to nothing."""
    monkeypatch.setattr("hagan_clinic.runtime.memory.resident", lambda: 0)
    model = make_generator(tmp_path / "coarse.onnx", spacing=(8.0, 8.0, 8.0))
    source = Volume(make_head(shape=(128, 128, 128)).astype(np.float32), np.eye(4))
    beside = footprint(source.grid, (8.0, 8.0, 8.0), channels=1)
    assert beside.restoring > beside.preparing
    for limit in (beside.preparing - 2**20, beside.restoring):
        with pytest.raises(DeviceError, match="raise --max-memory by"):
            translate(source, model=model, device="cpu", max_memory=limit)
    enough = beside.restoring + 2**20
    assert translate(source, model=model, device="cpu", max_memory=enough)


def test_too_little_memory_for_any_slab_is_an_error_that_says_how_much(scan, toy_generator):
    with pytest.raises(DeviceError, match=r"raise --max-memory by \d+ MiB or more"):
        translate(scan, model=toy_generator, device="cpu", max_memory="1MiB")


@pytest.mark.parametrize(
    "options", [{"max_memory": "lots"}, {"max_memory": 0}, {"threads": 0}, {"threads": -2}]
)
def test_amounts_that_make_no_sense_are_refused(toy_generator, options):
    with pytest.raises(InputError, match="expected"):
        Translator(toy_generator, "cpu", **options)
