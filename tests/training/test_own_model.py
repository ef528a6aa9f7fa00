"""A user's own network, by ``--model package.module:Class``."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import hagan_clinic
from hagan_clinic.errors import InputError
from hagan_clinic.training.registry import gather_settings

PAGE = Path(__file__).parents[2] / "docs/how-to/train-a-network-of-your-own.md"


@pytest.fixture
def plain(tmp_path, monkeypatch):
    """The page's module, where Python finds it."""
    (tmp_path / "lib").mkdir()
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL).group(1)
    (tmp_path / "lib" / "plain.py").write_text(code)
    (tmp_path / "lib" / "broken_model.py").write_text("class Run:\n")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    yield "plain:PlainGAN"
    sys.modules.pop("plain", None)


def test_it_is_trained_exported_and_translates(plain, small_cohort, tmp_path):
    settings = {"steps": 4, "slab": 16, "halo": 4, "spacing": 6.0, "batch_size": 1, "width": 8}
    run = hagan_clinic.train(
        data=str(small_cohort),
        model=plain,
        preset="tiny",
        output=tmp_path / "run",
        **settings,
    )
    exported = hagan_clinic.export(run, tmp_path / "plain.onnx")
    del sys.modules["plain"]  # an exported file needs it no longer
    scan = sorted(small_cohort.rglob("*_t1.nii.gz"))[0]
    translation = hagan_clinic.translate(scan, model=exported.path, device="cpu")
    assert np.ptp(translation.volume.array) > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere:Run", "cannot be imported .*nowhere.*PYTHONPATH"),
        ("plain:Missing", "cannot be imported .*Missing"),
        ("broken_model:Run", "cannot be imported .*broken_model.py"),
        ("plain:Plain", "expected a subclass of .*TrainableModel"),
        ("hagan_clinic.conditional.slab_unet:SlabUNetGAN", "settings are of 'slab-unet'"),
        (":", "cannot be imported"),
    ],
    ids=["no module", "no class", "broken module", "no model", "another name", "no name"],
)
@pytest.mark.usefixtures("plain")
def test_what_is_no_model_is_refused_by_name(text, message):
    with pytest.raises(InputError, match=message):
        gather_settings(None, [], {"mode": "conditional", "model": text})
