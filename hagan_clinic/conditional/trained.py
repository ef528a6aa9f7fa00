"""The generator that a conditional run holds, with what it takes to use or export it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hagan_clinic.backbone.translating import TranslatingNetwork
from hagan_clinic.conditional import ConditionalGenerator
from hagan_clinic.errors import ModelError
from hagan_clinic.recipe import Recipe
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.initial import load_averaged
from hagan_clinic.training.registry import build_model, read_config
from hagan_clinic.training.run_folder import FACTS, read_facts

AIR_VOXELS = 8
"""Air around the head in a box that grows, as of this much the network sees where the box ends."""


@dataclass(frozen=True, eq=False)
class TrainedTranslator:
    """Generator of a conditional run's best checkpoint, averaged.

    Attributes:
        config: The run's settings.
        generator: Its weights, in evaluation mode.
        recipe: How scans become its input, and what its output means.
        state: Of the checkpoint.
        facts: Of the run, from its folder.
    """

    config: TrainingConfig
    generator: TranslatingNetwork
    recipe: Recipe
    state: dict[str, Any]
    facts: dict[str, Any]


def load_translator(run: Path) -> TrainedTranslator:
    """Load the averaged weights of a conditional run.

    The interval factor of its recipe is 0 before the first validation.

    Raises:
        ModelError: The run cannot be read, is unconditional, or does not state its training box.
    """
    config = read_config(run)
    if config.mode != "conditional":
        raise ModelError(
            f"{run} was trained with --mode {config.mode}: expected conditional, or a part of it "
            "with --part generator or --part encoder"
        )
    generator = build_model(config).averaged
    assert isinstance(generator, TranslatingNetwork)
    state = load_averaged(generator, run)
    facts = read_facts(run)
    box = _training_box(run, facts)
    factor = float(state["metrics"].get("interval_factor", 0.0))
    recipe = replace(config.recipe, interval_factor=factor, box=box)
    if isinstance(generator, ConditionalGenerator):  # to which padding is air
        recipe = replace(recipe, box_grows=True, margin_mm=AIR_VOXELS * max(recipe.spacing))
    if 2 not in generator.free_axes:
        recipe = replace(recipe, halo=box[0])  # no slab does without the others
    generator.eval()
    return TrainedTranslator(config, generator, recipe, state, facts)


def _training_box(run: Path, facts: dict[str, Any]) -> tuple[int, ...]:
    """The box that the run was trained on, in which the network has learned where a brain lies."""
    box = facts.get("box")
    if not isinstance(box, list) or len(box) != 3:
        raise ModelError(
            f"{run / FACTS} has the box {box!r}, expected the three sides that training used: "
            "resume the training in this folder, which writes them"
        )
    return tuple(box)
