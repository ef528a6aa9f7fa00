"""Scans compared with their reconstructions, and what latents predict about patients."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hagan_clinic.api.evaluated import Evaluated, ReportFiles
from hagan_clinic.api.generators import load_encoder, load_generator
from hagan_clinic.errors import InputError, ModelError
from hagan_clinic.evaluation.cases import check_cases
from hagan_clinic.evaluation.encoding_report import EncodingReport, file_names
from hagan_clinic.evaluation.evaluated_patients import (
    check_comparable,
    find_subsets,
    is_run,
    seen_in_training,
)
from hagan_clinic.evaluation.latent_regression import explainable, explained, read_measurements
from hagan_clinic.evaluation.reconstruction import Pair, evaluate_encoding
from hagan_clinic.evaluation.segmenter import Segmenter
from hagan_clinic.progress import counted
from hagan_clinic.runtime.library import PARTS, bundled_models
from hagan_clinic.runtime.model_interface import ENCODER, GENERATOR

COMPONENTS = (0, 1, 8)


def evaluate_encoders(
    models: Sequence[Path],
    cohort: Path,
    output: Path,
    *,
    split: Path | None = None,
    subset: str = "test",
    mask: Path | None = None,
    segmenter: str | None = None,
    measurements: Path | None = None,
    measures: Sequence[str] = (),
    components: Sequence[int] = COMPONENTS,
    panel: int = 4,
    device: str = "auto",
    overwrite: bool = False,
    quiet: bool = True,
) -> Evaluated:
    """Encode scans, reconstruct them, and measure what is lost.

    Args:
        models: Folders of unconditional runs, or folders that hold an exported `generator.onnx`
            and `encoder.onnx`, or names of bundled models; one or more.
        cohort: A folder or a CSV, as of `train`.
        output: Folder for tables and pictures.
        split: CSV of subject and split; without it the cohort's own, or that of the first run.
        subset: Part of the split to evaluate on, or `all`.
        mask: One brain mask for all subjects.
        segmenter: Command that is run as CMD IMAGE LABELS, for Dice of structures.
        measurements: CSV of subject and measurements, to explain by latents.
        measures: Columns of it; by default all.
        components: Numbers of principal components of the training scans that are reference
            baselines; 0 is their mean. None of them where the training scans are evaluated.
        panel: Subjects to show.
        device: Where models run.
        overwrite: Replace files that exist.
        quiet: Show no progress.

    Raises:
        InputError: The cohort, its split or the measurements do not fit, or models do not compare.
        ModelError: A model is missing or unusable.
        DeviceError: The device cannot be had.
        OutputError: A file exists or cannot be written.
    """
    pairs = [_pair(path, device) for path in models]
    runs = [path for path in models if is_run(path)]
    if len({model.name for model in pairs}) < len(pairs):
        raise InputError("two models have the same name: rename a folder")
    check_comparable({model.name: model.encoder.facts for model in pairs}, one_size=True)
    images = pairs[0].encoder.facts.recipe.sources
    subsets = find_subsets(
        cohort, images, None, mask, split=split, subset=subset, runs=runs,
        fitted=measurements is not None,
    )  # fmt: skip
    training, evaluated = subsets.training, subsets.evaluated
    check_cases([*training, *evaluated])
    fitted, held_out = ([subject.name for subject in part] for part in (training, evaluated))
    warnings = seen_in_training(runs, evaluated)
    if subset not in ("test", "calibration"):
        components = ()  # which are fitted on what would be evaluated
    elif components and len(training) < 2:
        warnings.append("no principal components: the split names fewer than two training scans")
        components = ()
    values: Mapping[str, Mapping[str, float]] = {}
    if measurements is not None:
        read = read_measurements(measurements, [*fitted, *held_out], measures)
        values, left_out = explainable(read, fitted, held_out)
        warnings += left_out
    used = training if values or components else ()
    names = file_names(dice=segmenter is not None, regression=bool(values), panel=panel > 0)
    files = ReportFiles(output, names, overwrite=overwrite)
    with (
        TemporaryDirectory(prefix="hagan-clinic-") as scratch,
        counted("evaluating", len(used) + len(evaluated), quiet=quiet) as step,
    ):
        found = evaluate_encoding(
            pairs, evaluated, training=used, components=components, panel=panel, step=step,
            segmenter=None if segmenter is None else Segmenter(segmenter, Path(scratch)),
        )  # fmt: skip
    lines = [
        explained(
            model.name, column, found.latents[model.name], of_subject, fitted, held_out
        )
        for model in pairs
        for column, of_subject in values.items()
    ]  # fmt: skip
    warnings += found.warnings
    facts = {"models": {model.name: model.encoder.identity for model in pairs}}
    report = EncodingReport(found, evaluated, lines, warnings, facts)
    files.write(report.writers())
    return Evaluated(output, tuple(names), tuple(report.tables()), tuple(warnings))


def _pair(path: Path, device: str) -> Pair:
    """Generator and encoder of a run, of its exported parts in a folder, or of a bundled name."""
    if is_run(path):
        return Pair(path.resolve().name, load_generator(path, device), load_encoder(path, device))
    name, bundled = path.resolve().name, bundled_models().get(str(path))
    folder = bundled.parent if bundled is not None and not path.exists() else path
    if not all((folder / part).is_file() for part in PARTS.values()):
        raise ModelError(
            f"{path}: neither a run folder nor a folder of {' and '.join(PARTS.values())}; export "
            "both parts into one folder"
        )
    generator = load_generator(folder / PARTS[GENERATOR], device)
    encoder = load_encoder(folder / PARTS[ENCODER], device)
    if generator.identity != encoder.identity:
        raise ModelError(f"{path}: generator and encoder are of two trainings; export both again")
    return Pair(name, generator, encoder)
