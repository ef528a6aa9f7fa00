"""Scans encoded and reconstructed, and metrics of the loss."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.data.subject import Subject
from hagan_clinic.errors import InputError
from hagan_clinic.evaluation.comparison import Tested, Value, compare_pairs, every_pair
from hagan_clinic.evaluation.labels import LabelDice, Labels, dice_of_labels
from hagan_clinic.evaluation.linear_reconstruction import PrincipalComponents, component_names
from hagan_clinic.evaluation.segmenter import Segmenter
from hagan_clinic.intensity import from_unit
from hagan_clinic.metrics.regions import BRAIN, WHOLE, Reference, Scores
from hagan_clinic.runtime.exploration import pictures
from hagan_clinic.runtime.synthesis import Encoder, Generator, Scan

METRICS = ("psnr", "ssim", "nmse", "ms_ssim")
BOX = "box"
SAME = 1e-6

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pair:
    """Generator and encoder of one training."""

    name: str
    generator: Generator
    encoder: Encoder


@dataclass(frozen=True)
class ReconstructionRow:
    """The metrics of one subject's reconstruction; NaN where one is not defined."""

    model: str
    subject: str
    patient: str
    region: str
    psnr: float
    ssim: float
    nmse: float
    ms_ssim: float


@dataclass(eq=False)
class Encoding:
    """What `evaluate_encoding` finds out.

    Attributes:
        models: Their names.
        references: Names of the reference baselines.
        rows: Of every subject.
        dice: Of the segmenter's structures.
        latents: Model -> subject -> z.
        shown: Pictures of the first subjects: each scan, then every model's reconstruction.
        warnings: One a line.
    """

    models: list[str]
    references: list[str] = field(default_factory=list)
    rows: list[ReconstructionRow] = field(default_factory=list)
    dice: list[LabelDice] = field(default_factory=list)
    latents: dict[str, dict[str, Float32]] = field(default_factory=dict)
    shown: list[pictures.Step] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def means(self) -> dict[tuple[str, str], dict[str, float]]:
        """(model, region) -> mean of each metric."""
        groups: dict[tuple[str, str], list[ReconstructionRow]] = {}
        for row in self.rows:
            groups.setdefault((row.model, row.region), []).append(row)
        return {
            key: {name: fmean(getattr(row, name) for row in group) for name in METRICS}
            for key, group in groups.items()
        }

    def tests(self) -> list[Tested]:
        """Each pair of models, and each model with each reference baseline, by patient."""
        values = (
            Value((row.region,), name, row.model, row.patient, getattr(row, name))
            for row in self.rows
            for name in METRICS
        )
        pairs = [*every_pair(self.models), *product(self.models, self.references)]
        return compare_pairs(values, pairs)


def evaluate_encoding(
    models: Sequence[Pair],
    subjects: Sequence[Subject],
    *,
    training: Sequence[Subject] = (),
    components: Sequence[int] = (),
    segmenter: Segmenter | None = None,
    panel: int = 4,
    step: Callable[[], None] = lambda: None,
) -> Encoding:
    """Encode and reconstruct subjects with each model.

    Args:
        models: Of one sequence and with or without classes; a subject's class is read of its CSV.
        subjects: Those to evaluate on.
        training: Subjects of which the latents are wanted, and the reference baselines: principal
            components of their scans.
        components: As many are one reference baseline each; 0 is the mean of the scans.
        segmenter: Run on each scan and reconstruction, for Dice.
        panel: Subjects to picture.
        step: Called after each subject.

    Raises:
        InputError: A subject cannot be read or has no class of a model's, or the segmenter fails.
    """
    found = Encoding([model.name for model in models])
    found.latents = {model.name: {} for model in models}
    scans = []
    for subject in training:
        for model in models:
            scan = model.encoder.prepare(_image(model, subject), subject.mask)
            found.latents[model.name][subject.name] = model.encoder.encode(scan.array)
        scans.append(from_unit(scan.array))  # of one box for all models
        step()
    linear = PrincipalComponents(np.stack(scans), max(components)) if components else None
    if linear is not None:
        counts = [count for count in components if count <= linear.count]
        references = component_names(counts)
        found.references = list(references)
    for number, subject in enumerate(subjects):
        for model in models:
            scan, truth = _evaluate(found, model, subject, segmenter, pictured=number < panel)
        if linear is not None:
            for name, count in references.items():
                back = linear.reconstruct(from_unit(scan.array), count)
                _score(found, name, subject, scan, back)
                if segmenter is not None and truth is not None:
                    labels = segmenter(back, scan.grid, synthetic=True)
                    found.dice += _dice(name, subject, labels, truth)
        step()
    return found


def _evaluate(
    found: Encoding, model: Pair, subject: Subject, segmenter: Segmenter | None, *, pictured: bool
) -> tuple[Scan, Labels | None]:
    """A model's metrics of a subject; the scan as the model takes it, and its structures."""
    name = subject.name
    scan = model.encoder.prepare(_image(model, subject), subject.mask)
    found.warnings += [f"{name}, {model.name}: {warning}" for warning in scan.warnings]
    latent = model.encoder.encode(scan.array)
    found.latents[model.name][name] = latent
    label = _label(model, subject)
    (back,) = model.generator.decode(latent[None], [label] if label else None)
    real = from_unit(scan.array)
    if float(np.abs(back - real).max()) < SAME:
        found.warnings.append(f"{name}: what {model.name} gives is the scan itself: a leak?")
    scores = _score(found, model.name, subject, scan, back)
    truth = None
    if segmenter is not None:
        truth = segmenter(real, scan.grid, synthetic=False)
        labels = segmenter(back, scan.grid, synthetic=True)
        found.dice += _dice(model.name, subject, labels, truth)
    if pictured:
        if model.name == found.models[0]:
            found.shown.append(pictures.Step(pictures.middle_planes(real), (name, "scan")))
        caption = f"{scores[BOX if scan.brain is None else BRAIN].psnr:.1f} dB"
        found.shown.append(pictures.Step(pictures.middle_planes(back), (model.name, caption)))
    return scan, truth


def _dice(name: str, subject: Subject, labels: Labels, truth: Labels) -> list[LabelDice]:
    """A row for each structure of a reconstruction."""
    return [
        LabelDice(name, subject.name, subject.patient, structure, value)
        for structure, value in dice_of_labels(labels, truth).items()
    ]


def _score(
    found: Encoding, name: str, subject: Subject, scan: Scan, back: Float32
) -> dict[str, Scores]:
    """The metrics of a scan's reconstruction by region, which become rows."""
    everywhere = np.ones(back.shape, dtype=bool)
    try:
        reference = Reference(
            from_unit(scan.array), everywhere if scan.brain is None else scan.brain, {}
        )
        scores = reference.score(back)
    except InputError as error:
        raise InputError(f"{subject.name}: {error}") from error
    named = {BOX: scores[WHOLE]} | ({} if scan.brain is None else {BRAIN: scores[BRAIN]})
    found.rows += [
        ReconstructionRow(name, subject.name, subject.patient, region, **asdict(one))
        for region, one in named.items()
    ]
    return named


def _image(model: Pair, subject: Subject) -> str:
    return str(subject.images[model.encoder.image])


def _label(model: Pair, subject: Subject) -> str:
    """The class that a subject is made again with; empty for a model without classes."""
    if not model.generator.classes:
        return ""
    column = model.generator.facts.label
    label = subject.values.get(column, "")
    if label not in model.generator.classes:
        raise InputError(
            f"{subject.name} has the class {label!r}: {model.name} expects one of "
            f"{', '.join(model.generator.classes)} in the column {column!r} of the cohort's CSV"
        )
    return label
