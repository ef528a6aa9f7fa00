"""What a linear model makes of a cohort: the reference baseline of a synthesis.

    python benchmarks/principal_components.py --data lgg_mni --split lgg_mni/split.csv --cache CACHE

The volumes of `--preset cpu` (64 cubed, 3 mm, brains alone) are prepared as training prepares them.
Principal components of the training patients bring the calibration patients back, and normal
scores along them draw samples. The figures are those of `train`'s validation: PSNR and SSIM in the
brain of what is brought back, and the mean MS-SSIM of pairs of samples, beside that of the
calibration patients. No component is the mean brain.
"""

import argparse
from pathlib import Path

import numpy as np

from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.data.prepared import prepare_cohort
from hagan_clinic.data.split import read_split
from hagan_clinic.intensity import from_unit
from hagan_clinic.metrics.diversity import pairwise_ms_ssim
from hagan_clinic.metrics.image_quality import psnr, ssim
from hagan_clinic.training.registry import gather_settings
from hagan_clinic.unconditional.validation import PAIRS, SAMPLES

COMPONENTS = (0, 1, 2, 4, 8, 16, 32)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    arguments = parser.parse_args()

    given = {"mode": "unconditional", "data": str(arguments.data)}
    config = gather_settings("cpu", [], given)
    recipe = config.recipe
    subjects = find_cohort(arguments.data, recipe.sources, None)
    split = read_split(arguments.split, subjects)
    seen = [*split.train, *split.calibration]
    prepared = prepare_cohort(seen, recipe, arguments.cache, shape=config.size)
    loaded = [subject.load(stripped=True) for subject in prepared]
    volumes = np.stack([from_unit(source[0]) for source, _, _ in loaded])
    brains = [brain[0] > 0 for *_, brain in loaded][len(split.train) :]
    training, calibration = np.split(volumes, [len(split.train)])

    rows = training.reshape(len(training), -1)
    mean = rows.mean(0)
    _, scales, axes = np.linalg.svd(rows - mean, full_matrices=False)
    scales /= np.sqrt(len(rows) - 1)
    drawn = np.random.default_rng(0).standard_normal((SAMPLES, len(scales)))
    real = pairwise_ms_ssim(list(calibration), PAIRS, 0)
    print(f"MS-SSIM of {len(calibration)} calibration patients: {real:.3f}\n")
    print("| components | PSNR dB | SSIM | MS-SSIM of samples |\n|---|---|---|---|")
    for count in COMPONENTS:
        basis = axes[:count]

        def made(scores: np.ndarray, basis: np.ndarray = basis) -> list[np.ndarray]:
            images = np.clip(mean + scores @ basis, 0, 1).astype(np.float32)
            return list(images.reshape(-1, *volumes.shape[1:]))

        scores = (calibration.reshape(len(calibration), -1) - mean) @ basis.T
        figures = [
            (psnr(back, one, brain), ssim(back, one, brain))
            for back, one, brain in zip(made(scores), calibration, brains, strict=True)
        ]
        found = np.mean(figures, axis=0)
        alike = pairwise_ms_ssim(made(drawn[:, :count] * scales[:count]), PAIRS, 0)
        print(f"| {count} | {found[0]:.2f} | {found[1]:.3f} | {alike:.3f} |", flush=True)


if __name__ == "__main__":
    main()
