"""The training loop, the same for every variant: read top to bottom.

Several processes (``--devices``, or ``torchrun``) average their gradients before each update,
so N processes of batch b take the step that one process of batch N x b would take.
"""

import math
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from hagan_clinic.backbone.memory import memory_explained
from hagan_clinic.backbone.optimisation import ParameterGroup
from hagan_clinic.errors import ModelError
from hagan_clinic.training.adam import UnaveragedAdam
from hagan_clinic.training.average import MovingAverage
from hagan_clinic.training.checkpoint import load_checkpoint, save_checkpoint
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.half import precision
from hagan_clinic.training.log import RunLog, peak_memory_gib
from hagan_clinic.training.muon import Muon
from hagan_clinic.training.run_folder import BEST, LAST, existing, read_state
from hagan_clinic.training.trainable import TrainableModel, Validate, Validation

LOG_EVERY = 10

COMPILED_FORMS = 256
"""Every block is compiled once for each of its shapes, with and without gradients."""


def learning_rate(step: int, steps: int, highest: float) -> float:
    """Linear warm-up over the first 2 %, then a cosine down to 1/100 of the highest rate."""
    warm = max(1, round(0.02 * steps))
    if step < warm:
        return highest * (step + 1) / warm
    along = (step - warm) / max(1, steps - warm)
    return highest * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(along, 1.0))))


def train(
    variant: TrainableModel,
    batches: Iterator[Mapping[str, Tensor]],
    validate: Validate,
    config: TrainingConfig,
    folder: Path,
    fabric: Fabric,
) -> dict[str, Any]:
    """Train to ``config.steps``, from the folder's last checkpoint if it has one.

    Args:
        variant: the model, on the CPU.
        batches: endless, on the device; already at the checkpoint's step.
        validate: called with the averaged part on every ``validate_every``-th step.
        config: the run's settings.
        folder: the run folder.
        fabric: launched; carries device, precision and processes.

    Returns:
        The state of the last checkpoint.

    Raises:
        DeviceError: out of memory; says which settings to turn.
        ModelError: training diverged, or a checkpoint is corrupt or of another architecture.
        OutputError: a checkpoint cannot be written.
    """
    # Every step has the same shapes, so the fastest convolutions are worth finding.
    torch.backends.cudnn.benchmark = fabric.device.type == "cuda"
    module = variant.to(fabric.device)
    if config.channels_last:
        to_channels_last(module)
    average = MovingAverage(variant.averaged, config.ema)
    groups = variant.groups()
    optimizers = {name: optimizer_of(group) for name, group in groups.items()}
    if config.compile:
        compile_blocks(module)
    state: dict[str, Any] = {"step": 0, "validated": 0, "metrics": {}, "seconds": 0.0}
    if existing(folder / LAST).exists():
        state = load_checkpoint(folder / LAST, module, average, optimizers)
    start = int(state["step"])
    state.setdefault("validated", start)

    def update(name: str, loss: Tensor) -> None:
        optimizer = optimizers[name]
        # A step calls this under autocast, which would take the optimiser's own products to bf16.
        with torch.autocast(fabric.device.type, enabled=False):
            optimizer.zero_grad(set_to_none=True)
            fabric.backward(loss)
            parameters = [p for p in groups[name].parameters if p.grad is not None]
            _average_gradients(parameters, fabric)
            if config.clip:
                torch.nn.utils.clip_grad_norm_(parameters, config.clip)
            optimizer.step()
            # What the other groups' steps need is memory, not these, nor autocast's copies of
            # weights in half precision, which are those of before this one.
            optimizer.zero_grad(set_to_none=True)
            torch.clear_autocast_cache()

    def checkpoint(name: str, step: int) -> None:
        _stop_if_diverged(module, step)
        state.update(step=step, seconds=seconds_before + time.monotonic() - began)
        if fabric.is_global_zero:
            save_checkpoint(folder / name, module, average, optimizers, state)
        fabric.barrier()

    def run_validation(step: int) -> None:
        with memory_explained(_no_memory_to_validate(step)):
            validation = _validate(validate, average.module, fabric)
        state.update(validated=step, metrics=validation.metrics)
        if validation.score >= state.get("best_score", -math.inf):  # of equals the newest
            state.update(best_score=validation.score, best_step=step)
            checkpoint(BEST, step)
        checkpoint(LAST, step)
        log.metrics(step, {f"calibration/{k}": v for k, v in validation.metrics.items()})
        log.picture(step, "calibration", validation.montage)
        log.curves()

    def validates(step: int) -> bool:
        return step % config.validate_every == 0 or step == config.steps

    stop = _StopRequest()
    began, seconds_before = time.monotonic(), float(state["seconds"])
    sums: dict[str, Tensor] = {}
    counts: Counter[str] = Counter()
    with stop, RunLog(folder, config.steps, start, active=fabric.is_global_zero) as log:
        # A part that ended between a checkpoint and its validation left this to be done.
        if validates(start) and state["validated"] < start:
            run_validation(start)
        waited, last_log = 0.0, time.monotonic()
        for step in range(start, config.steps):
            for name, group in groups.items():
                if group.decays:
                    rate = learning_rate(step, config.steps, group.lr)
                    optimizers[name].param_groups[0]["lr"] = rate
            asked = time.monotonic()
            batch = next(batches)
            waited += time.monotonic() - asked
            # Anything random inside a step depends on the seed and the step alone.
            torch.manual_seed((config.seed << 32) + step * fabric.world_size + fabric.global_rank)
            with (
                memory_explained(_no_memory_for_a_step(config, fabric.device)),
                precision(config.precision, fabric.device),
            ):
                terms = variant.training_step(batch, step, update)
            average.update_parameters(variant.averaged)
            for name, term in terms.items():
                sums[name] = sums.get(name, torch.zeros((), device=term.device)) + term.float()
            counts.update(terms.keys())

            done = step + 1
            log.step(done)
            if done % LOG_EVERY == 0 or done == config.steps:
                now = time.monotonic()
                count = done - max(start, (done - 1) // LOG_EVERY * LOG_EVERY)
                # The one place that waits for the device: all metrics at once.
                means = torch.stack(list(sums.values())).tolist() if sums else []
                metrics = {
                    f"train/{name}": value / counts[name]
                    for name, value in zip(sums, means, strict=True)
                }
                metrics["speed/steps_per_s"] = count / (now - last_log)
                metrics["speed/share_waiting_for_data"] = waited / (now - last_log)
                metrics["speed/peak_memory_gib"] = peak_memory_gib(fabric.device)
                log.metrics(done, metrics)
                last_log, waited = now, 0.0
                sums.clear()
                counts.clear()
            paused = time.monotonic()
            stopped = stop.asked_anywhere(fabric)
            # Saved first: a validation that fails, or is killed, costs no step.
            if stopped or validates(done) or done % config.checkpoint_every == 0:
                checkpoint(LAST, done)
            if validates(done) and not stopped:
                run_validation(done)
                stopped = stop.asked_anywhere(fabric)
            if stopped and (done < config.steps or state["validated"] < done):
                raise KeyboardInterrupt
            last_log += time.monotonic() - paused
    return read_state(folder / LAST)


def compile_blocks(module: nn.Module) -> None:
    """What blocks name in ``compiles``: their shapes stay, unlike what lies around them."""
    torch._dynamo.config.recompile_limit = COMPILED_FORMS
    for block in module.modules():
        for name in getattr(block, "compiles", ()):
            setattr(block, name, torch.compile(getattr(block, name), dynamic=False))


def to_channels_last(module: nn.Module) -> None:
    """What convolutions run fastest on, on CPU and GPU alike."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in module.parameters():
        if parameter.dim() in formats:
            parameter.data = parameter.data.to(memory_format=formats[parameter.dim()])


def optimizer_of(group: ParameterGroup) -> Optimizer:
    """The optimiser of a group."""
    parameters, lr, decay, betas = group.parameters, group.lr, group.weight_decay, group.betas
    if group.muon:
        return Muon(parameters, lr, betas=betas, weight_decay=decay)
    if betas[0] == 0:
        return UnaveragedAdam(parameters, lr, beta2=betas[1], weight_decay=decay)
    return torch.optim.AdamW(parameters, lr, betas=betas, weight_decay=decay)


def _average_gradients(parameters: list[nn.Parameter], fabric: Fabric) -> None:
    """Mean of every process's gradients, in one message."""
    if fabric.world_size == 1 or not parameters:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    flat = _reduced(flat, "mean", fabric)
    offset = 0
    for gradient in gradients:
        gradient.copy_(flat[offset : offset + gradient.numel()].view_as(gradient))
        offset += gradient.numel()


def _reduced(tensor: Tensor, operation: str, fabric: Fabric) -> Tensor:
    """The tensor's sum or mean over all processes."""
    reduced = fabric.all_reduce(tensor, reduce_op=operation)
    assert isinstance(reduced, Tensor)
    return reduced


def _validate(validate: Validate, part: nn.Module, fabric: Fabric) -> Validation:
    """The first process validates, in full precision as deployed, and broadcasts the score.

    What fails there is raised in all of them: the others would wait for its word.
    """
    outcome: Validation | Exception | None = None
    if fabric.is_global_zero:
        part.eval()
        try:
            with torch.inference_mode():
                outcome = validate(part)
        except Exception as error:
            outcome = error
        part.train()
    outcome = fabric.broadcast(outcome)
    if isinstance(outcome, Exception):
        raise outcome
    assert outcome is not None
    return outcome


def _stop_if_diverged(module: nn.Module, step: int) -> None:
    """Weights are the same in every process, so all of them stop, and nothing is saved."""
    names, weights = zip(*module.named_parameters(), strict=True)
    finite = torch.stack([torch.isfinite(weight).all() for weight in weights])
    if not finite.all():
        bad = names[finite.tolist().index(False)]
        raise ModelError(
            f"training diverged by step {step} ({bad} is not finite): train in a new folder "
            "with a lower --generator-lr, from the last checkpoint with --init if it is good"
        )


def _no_memory_for_a_step(config: TrainingConfig, device: torch.device) -> str:
    lower = f"in a new folder give a lower --batch-size, then {config.smaller}"
    if getattr(config, "gradient_checkpointing", True) is False:
        lower = f"resume with --gradient-checkpointing, or {lower}"
    half = "resume with --precision bf16-mixed, or " if config.precision == "32-true" else ""
    if device.type == "cuda" and config.resident_share:
        half += "resume with --set resident_share=0, which leaves the cohort on the disk, or "
    return (
        f"out of memory with --batch-size {config.batch_size} --slab {config.slab} "
        f"--precision {config.precision}: {half}{lower}"
    )


def _no_memory_to_validate(step: int) -> str:
    return (
        f"out of memory in the validation at step {step}, which sees whole volumes; the step is "
        "saved: free some memory and give the same command again, or in a new folder a larger "
        "--spacing or a smaller --set size=[D,H,W]"
    )


class _StopRequest:
    """Turns the first Ctrl-C (or SIGTERM) into a save after the step; the second one stops."""

    def __init__(self) -> None:
        self.asked = False
        self.previous: dict[int, Any] = {}

    def __enter__(self) -> "_StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self.previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def asked_anywhere(self, fabric: Fabric) -> bool:
        """Whether any process was asked, so that all save the same step."""
        if fabric.world_size == 1:
            return self.asked
        flag = torch.tensor(float(self.asked), device=fabric.device)
        return bool(_reduced(flag, "sum", fabric) > 0)
