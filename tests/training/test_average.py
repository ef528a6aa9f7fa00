import copy

import torch
from torch import nn

from hagan_clinic.training.average import MovingAverage


class Counting(nn.Sequential):
    """A layer with batch norm, and a buffer that is no statistic."""

    def __init__(self):
        super().__init__(nn.Linear(1, 2), nn.BatchNorm1d(2))
        self.register_buffer("stage", torch.zeros(2))


def after_every_step(steps):
    """A model that is moved at each step."""
    torch.manual_seed(0)
    model, seen = Counting(), []
    for step in range(steps):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
            model.stage.fill_(step)
            model(torch.randn(8, 1) * (step + 1))
        seen.append(copy.deepcopy(model))
    return seen


def averaged(models, decay):
    average = MovingAverage(models[0], decay)
    for model in models:
        average.update_parameters(model)
    return average.module


def test_batch_statistics_are_averaged_with_the_weights():
    models = after_every_step(4)
    found = averaged(models, 0.2).state_dict()
    for name in ("0.weight", "1.running_mean", "1.running_var"):
        first, *later = (model.state_dict()[name] for model in models)
        expected = first
        # The memory grows as (1 + n) / (10 + n), up to the decay.
        for kept, newest in zip((2 / 11, 0.2, 0.2), later, strict=True):
            expected = kept * expected + (1 - kept) * newest
        assert torch.allclose(found[name], expected, atol=1e-6), name
        assert not torch.allclose(found[name], later[-1], atol=1e-3), name


def test_other_buffers_are_those_of_the_last_step():
    average = averaged(after_every_step(3), 0.9)
    assert average.stage.tolist() == [2, 2]
    assert int(average[1].num_batches_tracked) == 3


def test_without_a_decay_the_average_is_the_last_model():
    models = after_every_step(3)
    found = averaged(models, 0.0).state_dict()
    for name, value in models[-1].state_dict().items():
        assert torch.equal(found[name], value), name
