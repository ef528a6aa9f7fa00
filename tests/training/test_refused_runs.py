"""What cannot be trained is told by name, before it costs time."""

import pytest
import torch

from hagan_clinic.conditional import ConditionalHAGAN
from hagan_clinic.conditional.settings import ConditionalConfig
from hagan_clinic.errors import (
    DeviceError,
    InputError,
    ModelError,
    OutputError,
)
from hagan_clinic.training.loop import _no_memory_for_a_step
from hagan_clinic.training.run import run_training
from hagan_clinic.training.run_folder import read_state


def test_a_folder_with_other_things_in_it_is_left_alone(tiny_settings, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="is not empty and holds no run"):
        run_training(ConditionalConfig(**tiny_settings), tmp_path, say=lambda line: None)


def test_an_unknown_augmentation_is_named(tiny_settings, tmp_path):
    config = ConditionalConfig(**(tiny_settings | {"augment": {"elastic": 0.5}}))
    with pytest.raises(InputError, match="augment: unknown setting 'elastic'; known are affine"):
        run_training(config, tmp_path / "run", say=lambda line: None)


def test_a_split_without_calibration_patients_is_refused(tiny_settings, tmp_path):
    split = tmp_path / "split.csv"
    rows = [f"p{number},{'train' if number else 'test'}" for number in range(10)]
    split.write_text("\n".join(["subject,split", *rows]))
    config = ConditionalConfig(**(tiny_settings | {"split": str(split)}))
    with pytest.raises(InputError, match="0 calibration subjects, and a validation needs 1"):
        run_training(config, tmp_path / "run", say=lambda line: None)


def test_no_data_says_what_is_needed(tmp_path):
    with pytest.raises(InputError, match="give a folder or a CSV file of the cohort with --data"):
        run_training(ConditionalConfig(), tmp_path / "run", say=lambda line: None)


def test_cuda_that_is_not_there_is_an_error(tiny_settings, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    config = ConditionalConfig(**(tiny_settings | {"device": "cuda"}))
    with pytest.raises(DeviceError, match="PyTorch sees no CUDA device"):
        run_training(config, tmp_path / "run", say=lambda line: None)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory"),
    ],
)
def test_out_of_memory_says_what_to_turn(tiny_settings, tmp_path, monkeypatch, error):
    def exhausted(*args):
        raise error

    monkeypatch.setattr(ConditionalHAGAN, "training_step", exhausted)
    with pytest.raises(DeviceError, match="a lower --batch-size, then --slab"):
        run_training(ConditionalConfig(**tiny_settings), tmp_path / "run", say=lambda line: None)


def test_a_gpu_that_is_full_may_leave_the_cohort_on_the_disk():
    cohort = "--set resident_share=0"
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert cohort in _no_memory_for_a_step(ConditionalConfig(), gpu)
    assert cohort not in _no_memory_for_a_step(ConditionalConfig(resident_share=0.0), gpu)
    assert cohort not in _no_memory_for_a_step(ConditionalConfig(), cpu)


@pytest.mark.parametrize("validate_every", [4, 6])
def test_divergence_is_named_and_never_saved(tiny_settings, tmp_path, monkeypatch, validate_every):
    whole = ConditionalHAGAN.training_step

    def diverging(self, batch, step, update):
        if step == 3:
            next(self.generator.parameters()).data.fill_(float("nan"))
            return {"high": torch.tensor(0.0)}
        return whole(self, batch, step, update)

    monkeypatch.setattr(ConditionalHAGAN, "training_step", diverging)
    config = ConditionalConfig(**(tiny_settings | {"steps": 6, "validate_every": validate_every}))
    with pytest.raises(ModelError, match="diverged by step 4"):
        run_training(config, tmp_path / "run", say=lambda line: None)
    assert read_state(tmp_path / "run" / "last")["step"] == 2
