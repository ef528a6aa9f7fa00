"""`hagan-clinic evaluate synthesis`: how much samples are like real volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hagan_clinic.cli.evaluate.options import file_options, subset_options
from hagan_clinic.cli.evaluate.reporting import Files, show
from hagan_clinic.cli.printing import say
from hagan_clinic.errors import InputError

if TYPE_CHECKING:
    from hagan_clinic.evaluation.volume_sets import VolumeSet
    from hagan_clinic.recipe import Recipe
    from hagan_clinic.volume import Shape

PAPER_COUNT = 1024

_EXAMPLE = """\b
Example:
  hagan-clinic evaluate synthesis runs/mine cohort --feature-weights resnet_50.pth -o results
"""
_PATH = click.Path(path_type=Path)


@click.command(short_help="Evaluate samples: FID, MMD, diversity, maps, panels.", epilog=_EXAMPLE)
@click.argument("inputs", nargs=-1, required=True, type=_PATH, metavar="MODEL... COHORT")
@subset_options("test", "calibration", "train", "all")
@click.option(
    "--feature-weights", type=_PATH, help="MedicalNet's resnet_50.pth.  [default: random weights]"
)
@click.option(
    "-n", "--count", type=click.IntRange(min=2),
    help="Samples of each model.  [default: as many as real volumes, at most 1024]",
)  # fmt: skip
@click.option("--image", default="t1", show_default=True, help="Sequence, for folders alone.")
@click.option(
    "--size", "sides", type=click.IntRange(min=16), multiple=True, metavar="N",
    help="Depth to compare at, the other sides in proportion; repeat.  [default: the models']",
)  # fmt: skip
@click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True)
@click.option(
    "--pairs", type=click.IntRange(min=1), default=100, show_default=True, help="For MS-SSIM."
)
@click.option(
    "--panel", type=click.IntRange(min=0), default=4, show_default=True, help="Volumes to show."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--cache", type=_PATH, help="Folder of features.  [default: OUTPUT/features]")
@file_options
def command(
    inputs: tuple[Path, ...],
    output: Path,
    feature_weights: Path | None,
    count: int | None,
    split_file: Path | None,
    subset: str,
    image: str,
    mask: Path | None,
    sides: tuple[int, ...],
    folds: int,
    pairs: int,
    panel: int,
    seed: int,
    cache: Path | None,
    device: str,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Compare samples of each MODEL with the real volumes of COHORT.

    A MODEL is the folder of an unconditional run, an exported generator, or a folder of volumes
    on 0 to 1 that any tool has made. Volumes are made and read one at a time. Features are kept
    by the content of the volume, so that a second call computes what is new.
    """
    *given, cohort = inputs
    if not given:
        raise click.UsageError("Give one MODEL or more before COHORT.")
    from hagan_clinic.api.models import load_generator, torch_device
    from hagan_clinic.evaluation.embedding import check_numbers
    from hagan_clinic.evaluation.feature_cache import FeatureCache
    from hagan_clinic.evaluation.features import FeatureNetwork
    from hagan_clinic.evaluation.subsets import (
        check_comparable,
        find_evaluated,
        is_run,
        seen_in_training,
    )
    from hagan_clinic.evaluation.synthesis import evaluate_synthesis
    from hagan_clinic.evaluation.synthesis_report import SynthesisReport, file_names
    from hagan_clinic.evaluation.volume_sets import Folder, Patients, Resized, SampledVolumes
    from hagan_clinic.progress import counted

    runs = [path for path in given if is_run(path)]
    made = {
        path: load_generator(path, device)
        for path in given
        if path in runs or path.suffix == ".onnx"
    }
    check_comparable({str(path): one.facts for path, one in made.items()}, one_size=False)
    first = next(iter(made.values()), None)
    folders = {path: Folder(path, count) for path in given if path not in made}
    if first is not None:
        recipe, stripped = first.facts.recipe, first.facts.stripped
    else:
        recipe, stripped = _recipe_of(next(iter(folders.values())), image), True
    subjects = find_evaluated(
        cohort, recipe.sources, mask, split=split_file, subset=subset, runs=runs
    )
    number = count or min(len(subjects), PAPER_COUNT)
    sets: list[VolumeSet] = [
        SampledVolumes(_name(path), made[path], number, seed) if path in made else folders[path]
        for path in given
    ]
    if len({one.name for one in sets} | {"real"}) <= len(sets):
        raise InputError("two models have one name, or one is called real: rename a folder")
    check_numbers({"real": len(subjects), **{one.name: len(one) for one in sets}})
    shapes = [_shape(recipe.box, depth) for depth in sides] or [_shape(recipe.box, recipe.box[0])]
    sizes = ["x".join(map(str, shape)) for shape in shapes]
    resized = {
        size: [Resized(one, shape) for one in sets]
        for size, shape in zip(sizes, shapes, strict=True)
    }
    files = Files(output, file_names(sizes, panel=panel > 0), overwrite=overwrite)
    place = torch_device("auto" if device == "tensorrt" else device)
    network = FeatureNetwork(feature_weights, place)
    warnings = seen_in_training(runs, subjects)
    if feature_weights is None:
        warnings.append(f"features are of {network.description}")
    kept = FeatureCache(network, cache or output / "features")
    patients = [subject.patient for subject in subjects]
    found = {}
    total = len(shapes) * (len(subjects) + sum(map(len, sets)))
    with counted("computing features", total, quiet=quiet) as step:
        for size, shape in zip(sizes, shapes, strict=True):
            real = Patients(
                subjects, _at(recipe, shape), shape, kept.folder / "prepared", stripped=stripped
            )
            if size == sizes[0]:
                shown: list[VolumeSet] = [real, *resized[size]]
            found[size] = evaluate_synthesis(
                real, resized[size], kept, patients=patients,
                folds=folds, pairs=pairs, seed=seed, step=step,
            )  # fmt: skip
    facts = {
        "seed": seed,
        "models": {_name(path): one.identity for path, one in made.items()},
    }
    report = SynthesisReport(found, network.description, shown, panel, seed, warnings, facts)
    files.write(report.writers())
    for warning in warnings:
        say(f"warning: {warning}", err=True)
    if not quiet:
        show(report.tables())
        say(f"\nwrote {output}; {kept.computed} of {total} features were computed now")


def _name(path: Path) -> str:
    """Of a model, for tables."""
    path = path.resolve()
    return path.stem if path.suffix == ".onnx" else path.name


def _recipe_of(folder: object, image: str) -> Recipe:
    """How real volumes are prepared to be compared with a folder's."""
    from hagan_clinic.evaluation.volume_sets import Folder
    from hagan_clinic.recipe import Recipe

    assert isinstance(folder, Folder)
    return Recipe(
        sources=(image,), target="", spacing=folder.grid.spacing, multiple=1, halo=0,
        interval_factor=0.0, box=folder.grid.shape,
    )  # fmt: skip


def _shape(box: Sequence[int], depth: int) -> Shape:
    """The box enlarged or made smaller to a depth."""
    if any(side * depth % box[0] for side in box):
        raise InputError(f"--size {depth}: the box of {tuple(box)} voxels has no such proportion")
    d, h, w = (side * depth // box[0] for side in box)
    return d, h, w


def _at(recipe: Recipe, shape: Shape) -> Recipe:
    """The recipe at another resolution of the same box."""
    d, h, w = (
        step * old / new for step, old, new in zip(recipe.spacing, recipe.box, shape, strict=True)
    )
    return replace(recipe, spacing=(d, h, w), box=(), multiple=1)
