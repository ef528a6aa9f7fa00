import numpy as np
import pytest
import torch

from hagan_clinic.errors import DeviceError, ModelError
from hagan_clinic.unconditional import HAGANConfig, UnconditionalGenerator, VolumeEncoder
from hagan_clinic.unconditional.trained import TorchEncoder, TorchGenerator

CPU = torch.device("cpu")


@pytest.fixture(params=["generator", "encoder"])
def part(request):
    """A part of a small model, and the function that runs it once in numpy."""
    config = HAGANConfig(size=(32, 32, 32), slab=8, latent=6, width=64, discriminator_width=64)
    if request.param == "generator":
        generator = UnconditionalGenerator(config)
        return generator, lambda: TorchGenerator(generator, CPU).image(np.zeros((1, 6), "f4"))
    encoder = VolumeEncoder(config)
    return encoder, lambda: TorchEncoder(encoder, CPU).latent(np.zeros(config.size, "f4"))


def raising(error):
    def fail(*_):
        raise error

    return fail


@pytest.mark.parametrize(
    "fail",
    [
        lambda *_: torch.empty(2**60),  # no machine has it
        raising(torch.OutOfMemoryError("CUDA out of memory")),
        raising(RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory")),
        raising(MemoryError()),
    ],
    ids=["too large", "CUDA", "CPU", "Python"],
)
def test_memory_that_runs_out_is_a_device_error(part, fail):
    network, run = part
    for module in network.children():
        module.register_forward_pre_hook(fail)
    with pytest.raises(DeviceError, match=r"in the network on cpu; free some$"):
        run()


def test_other_failures_stay_what_they_are(part):
    network, run = part
    for module in network.children():
        module.register_forward_pre_hook(raising(RuntimeError("shapes cannot be multiplied")))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        run()


def test_values_that_are_not_finite_are_a_model_error(part):
    network, run = part
    assert np.isfinite(run()).all()
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    with pytest.raises(ModelError, match="gave NaN or infinite values, expected finite ones"):
        run()
