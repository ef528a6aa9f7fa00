import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from hagan_clinic.training.half import precision
from hagan_clinic.training.registry import gather_settings
from hagan_clinic.training.run import run_training

WEIGHTS = {
    torch.ops.aten.convolution.default: 1,
    torch.ops.aten.convolution_backward.default: 2,
}
CPU = torch.device("cpu")


def poison(*sizes):
    """Leave NaN in the memory that what is allocated next is likely to get."""
    del [torch.full((size,), torch.nan) for size in sizes for _ in range(4)][:]


@pytest.mark.parametrize(
    ("channels", "grid", "kernel", "stride"),
    [
        (16, (2, 2, 2), 3, 1),
        (16, (2, 8, 8), 3, 1),
        (16, (1, 1, 1), 3, 2),
        (16, (4, 1, 8), 3, 2),
        (16, (4, 2, 2), 4, 2),
        (1, (1, 1, 1), 3, 1),
    ],
)
def test_gradients_of_small_grids_are_those_of_full_precision(channels, grid, kernel, stride):
    torch.manual_seed(0)
    convolution = nn.Conv3d(channels, 16, kernel, stride, padding=1)
    convolution = convolution.to(memory_format=torch.channels_last_3d)
    features = torch.randn(2, channels, *grid, requires_grad=True)
    inputs = (features, convolution.weight, convolution.bias)
    whole = convolution(features)
    expected = torch.autograd.grad(whole.square().sum(), inputs)
    for _ in range(5):
        with precision("bf16-mixed", CPU):
            poison(features.numel(), whole.numel(), convolution.weight.numel())
            half = convolution(features)
            poison(features.numel(), whole.numel(), convolution.weight.numel())
            found = torch.autograd.grad(half.float().square().sum(), inputs)
        assert half.dtype == torch.bfloat16
        torch.testing.assert_close(half.float(), whole, rtol=0.05, atol=0.05)
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.5)


class Convolved(TorchDispatchMode):
    """Keeps, of every convolution, whether its grid is small and in what precision it ran."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if (weight := WEIGHTS.get(func)) is not None:
            sides, kernel = (part.shape[2:] for part in args[weight - 1 : weight + 1])
            small = any(k > 1 and k >= side for k, side in zip(kernel, sides, strict=True))
            self.seen.append((small, args[weight].dtype))
        return func(*args, **(kwargs or {}))


def test_small_grids_alone_run_in_full_precision_when_recomputed_too():
    block = nn.Sequential(nn.Conv3d(2, 2, 3, padding=1), nn.Conv3d(2, 2, 4, stride=2, padding=1))
    features = torch.randn(1, 2, 4, 4, 4, requires_grad=True)
    with Convolved() as convolved, precision("bf16-mixed", CPU):
        given = checkpoint(block, features, use_reentrant=False)
        with torch.autocast("cpu", enabled=False):
            given.sum().backward()
    assert set(convolved.seen) == {(False, torch.bfloat16), (True, torch.float32)}
    assert len(convolved.seen) >= 5  # what is recomputed ends where nothing more is needed
    with Convolved() as convolved, precision("32-true", CPU):
        block(features)
    assert convolved.seen == [(False, torch.float32), (True, torch.float32)]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_run_convolves_no_small_grid_in_half_precision(small_cohort, tmp_path, checkpointing):
    given = {"mode": "unconditional", "data": str(small_cohort), "device": "cpu", "steps": 1}
    given |= {"gradient_checkpointing": checkpointing, "precision": "bf16-mixed"}
    with Convolved() as convolved:
        run_training(gather_settings("tiny", [], given), tmp_path / "run", say=lambda line: None)
    assert (False, torch.bfloat16) in convolved.seen
    assert (True, torch.float32) in convolved.seen
    assert (True, torch.bfloat16) not in convolved.seen
