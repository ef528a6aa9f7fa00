"""Samples of models beside real volumes of a cohort."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from hagan_clinic.api.evaluated import Evaluated, ReportFiles
from hagan_clinic.api.generators import load_generator, torch_device
from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError
from hagan_clinic.evaluation.embedding import check_numbers
from hagan_clinic.evaluation.evaluated_patients import (
    check_comparable,
    find_subsets,
    is_run,
    seen_in_training,
)
from hagan_clinic.evaluation.feature_cache import FeatureCache, FeatureExtractor
from hagan_clinic.evaluation.features import FeatureNetwork
from hagan_clinic.evaluation.hd_bet import HDBetEncoder
from hagan_clinic.evaluation.segmenter import Segmenter
from hagan_clinic.evaluation.structure_sets import by_brightness, by_segmenter
from hagan_clinic.evaluation.synthesis import evaluate_synthesis
from hagan_clinic.evaluation.synthesis_parts import (
    NEAREST_FILES,
    STRUCTURE_FILES,
    nearest_part,
    structure_part,
)
from hagan_clinic.evaluation.synthesis_report import SynthesisReport, file_names
from hagan_clinic.evaluation.volume_sets import (
    Folder,
    Patients,
    Resized,
    SampledVolumes,
    VolumeSet,
)
from hagan_clinic.progress import counted
from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime.library import bundled_models
from hagan_clinic.volume import Grid, Shape

PAPER_COUNT = 1024


def evaluate_generators(
    models: Sequence[Path],
    cohort: Path,
    output: Path,
    *,
    split: Path | None = None,
    subset: str = "test",
    mask: Path | None = None,
    features: str = "medicalnet",
    feature_weights: Path | None = None,
    count: int | None = None,
    image: str = "t1",
    depths: Sequence[int] = (),
    folds: int = 5,
    pairs: int = 100,
    panel: int = 4,
    seed: int = 0,
    segmenter: str | None = None,
    cache: Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
    quiet: bool = True,
) -> Evaluated:
    """Compare samples of models with real volumes: FID, MMD, diversity, structures, copies.

    Where the split is known and training patients are not evaluated themselves, samples are
    compared with the training volumes too, to find copies.

    Args:
        models: Folders of unconditional runs, exported generators, names of bundled models, or
            folders of volumes on 0 to 1 that any tool has made; one or more.
        cohort: A folder or a CSV, as of `train`.
        output: Folder for tables and pictures.
        split: CSV of subject and split; without it the cohort's own, or that of the first run.
        subset: Part of the split to evaluate on, or `all`.
        mask: One brain mask for all subjects.
        features: Network that FID, MMD and maps see volumes by: `hd-bet` or `medicalnet`.
        feature_weights: MedicalNet's `resnet_50.pth`; without it its weights are random.
        count: Samples of each model; by default as many as real volumes, at most 1024.
        image: Sequence, if only folders are given.
        depths: To compare at, the other sides in proportion; by default the models'.
        folds: Parts of the real volumes that are compared with the rest.
        pairs: For MS-SSIM.
        panel: Volumes to show.
        seed: Of the samples.
        segmenter: Command that labels a volume, for volumes of its structures; without it those of
            stripped T1 brains are measured by brightness, and those of others not.
        cache: Folder of features; by default in the output.
        device: Where models run.
        overwrite: Replace files that exist.
        quiet: Show no progress.

    Raises:
        InputError: The cohort or its split do not fit, or models do not compare.
        ModelError: A model is missing or unusable.
        DeviceError: The device cannot be had.
        OutputError: A file exists or cannot be written.
    """
    runs = [path for path in models if is_run(path)]
    generators = {
        path: load_generator(path, device)
        for path in models
        if path in runs or path.suffix == ".onnx" or _is_bundled(path)
    }
    check_comparable({str(path): one.facts for path, one in generators.items()}, one_size=False)
    first = next(iter(generators.values()), None)
    folders = {path: Folder(path, count) for path in models if path not in generators}
    if first is not None:
        recipe, stripped = first.facts.recipe, first.facts.stripped
    else:
        recipe, stripped = _recipe_of(next(iter(folders.values())), image), True
    subsets = find_subsets(
        cohort, recipe.sources, None, mask, split=split, subset=subset, runs=runs, fitted=False
    )
    subjects = subsets.evaluated
    trained_on = () if subset == "train" else subsets.training
    number = count or min(len(subjects), PAPER_COUNT)
    sets: list[VolumeSet] = [
        SampledVolumes(_name(path), generators[path], number, seed)
        if path in generators
        else folders[path]
        for path in models
    ]
    if len({one.name for one in sets} | {"real"}) <= len(sets):
        raise InputError("two models have the same name, or one is called real: rename a folder")
    check_numbers({"real": len(subjects), **{one.name: len(one) for one in sets}})
    shapes = [_shape(recipe.box, depth) for depth in depths] or [_shape(recipe.box, recipe.box[0])]
    sizes = ["x".join(map(str, shape)) for shape in shapes]
    resized = {
        size: [Resized(one, shape) for one in sets]
        for size, shape in zip(sizes, shapes, strict=True)
    }
    grid = _grid_at((first or next(iter(folders.values()))).grid, shapes[0])
    measured = segmenter is not None or (stripped and _is_t1(recipe))
    further = [*(STRUCTURE_FILES if measured else ()), *(NEAREST_FILES if trained_on else ())]
    names = file_names(sizes, panel=panel > 0, further=further)
    files = ReportFiles(output, names, overwrite=overwrite)
    place = torch_device("auto" if device == "tensorrt" else device)
    network = _extractor(features, feature_weights, place)
    warnings = seen_in_training(runs, subjects)
    if features == "medicalnet" and feature_weights is None:
        warnings.append(f"features are of {network.description}")
    kept = FeatureCache(network, cache or output / "features")
    patients = [subject.patient for subject in subjects]
    found = {}
    total = len(shapes) * (len(subjects) + sum(map(len, sets))) + len(trained_on)

    def prepared(of: Sequence[Subject], shape: Shape) -> Patients:
        at = _at(recipe, shape)
        return Patients(of, at, shape, kept.folder / "prepared", stripped=stripped)

    parts = []
    with (
        TemporaryDirectory(prefix="hagan-clinic-") as scratch,
        counted("computing features", total, quiet=quiet) as step,
    ):
        measure = None
        if segmenter is not None:
            measure = by_segmenter(Segmenter(segmenter, Path(scratch)), grid)
        elif measured:
            measure = by_brightness(grid)
        for size, shape in zip(sizes, shapes, strict=True):
            real = prepared(subjects, shape)
            found[size] = evaluate_synthesis(
                real, resized[size], kept, patients=patients,
                folds=folds, pairs=pairs, seed=seed, step=step,
            )  # fmt: skip
        real, made = prepared(subjects, shapes[0]), resized[sizes[0]]
        if measure is not None:
            parts.append(structure_part(real, made, measure, seed))
        if trained_on:
            training = prepared(trained_on, shapes[0])
            parts.append(
                nearest_part(
                    real, training, made, found[sizes[0]].features, kept.all(training, step),
                    shown=panel, seed=seed,
                )
            )  # fmt: skip
    facts = {
        "seed": seed,
        "models": {_name(path): one.identity for path, one in generators.items()},
    }
    for part in parts:
        facts |= part.facts
        warnings += part.warnings
    report = SynthesisReport(
        found, network.description, [real, *made], panel, seed, warnings, facts,
        further_tables=[table for part in parts for table in part.tables],
        further_files={name: file for part in parts for name, file in part.files.items()},
    )  # fmt: skip
    files.write(report.writers())
    remark = f"{kept.computed} of {total} features were computed now"
    return Evaluated(output, tuple(files.names), tuple(report.tables()), tuple(warnings), remark)


def _extractor(name: str, weights: Path | None, device: torch.device) -> FeatureExtractor:
    if name == "medicalnet":
        return FeatureNetwork(weights, device)
    if weights is not None:
        raise InputError(
            "--feature-weights are MedicalNet's: leave them out with --features hd-bet"
        )
    return HDBetEncoder(device)


def _is_bundled(path: Path) -> bool:
    """Whether this is the name of a bundled model, and of nothing that lies here."""
    return str(path) in bundled_models() and not path.exists()


def _name(path: Path) -> str:
    """Of a model, for tables."""
    path = path.resolve()
    return path.stem if path.suffix == ".onnx" else path.name


def _recipe_of(folder: Folder, image: str) -> Recipe:
    """How real volumes are prepared to be compared with a folder's."""
    return Recipe(
        sources=(image,), target="", spacing=folder.grid.spacing, multiple=1, halo=0,
        interval_factor=0.0, box=folder.grid.shape,
    )  # fmt: skip


def _is_t1(recipe: Recipe) -> bool:
    """Whether fluid is dark and white matter bright."""
    return not recipe.window and "t1" in recipe.sources[0].lower()


def _grid_at(grid: Grid, shape: Shape) -> Grid:
    """The same box of another number of voxels."""
    factors = [old / new for old, new in zip(grid.shape, shape, strict=True)]
    return Grid(shape, grid.affine @ np.diag([*factors, 1.0]))


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
