"""The T1 of a clinical DICOM study translated, against the real FLAIR of the same study.

    python benchmarks/brainix.py $HAGAN_TEST_DATA/dicom/brainix --picture beside.png

Both series, 6 mm apart and slightly oblique, go to one grid of 1.5 mm, the T1's field of view. The
brain is marked on the T1: Otsu's threshold; an opening by 6 mm, which parts the brain from the
scalp; the largest piece; a closing by 6 mm; holes filled; and one voxel less all round. The real
FLAIR is scaled by its own 0.5 and 99.5 percentiles in that mask, the synthetic one by nothing.
Printed are figures in the brain beside those of the T1 itself, of a constant, and of the synthetic
FLAIR after the straight line that brings it closest (an oracle). One patient proves nothing; the
figures tell whether a clinical series goes through whole and the right way round.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import hagan_clinic
from hagan_clinic.evaluation.reference_baselines import oracle_linear_fit
from hagan_clinic.imageio import read
from hagan_clinic.imageio.dicom.scan import read_series
from hagan_clinic.intensity import from_unit, source_window, target_window, to_unit
from hagan_clinic.metrics.image_quality import nmse, psnr, ssim
from hagan_clinic.volume import Volume, canonical_grid, resample, resampled_grid

SPACING_MM = 1.5
OPENING_MM = 6.0
SHOWN = (0.35, 0.45, 0.55, 0.65)


def brain_of(t1: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The brain of a T1 (D, H, W) with its skull, as the module says."""
    radius = [round(OPENING_MM / SPACING_MM)] * 3
    mask = sitk.OtsuThreshold(sitk.GetImageFromArray(t1), 0, 1, 256)
    mask = sitk.BinaryMorphologicalOpening(mask, radius)
    mask = sitk.RelabelComponent(sitk.ConnectedComponent(mask)) == 1
    mask = sitk.BinaryMorphologicalClosing(mask, radius)
    mask = sitk.BinaryErode(sitk.BinaryFillhole(mask), [1, 1, 1])
    return sitk.GetArrayFromImage(mask) > 0


def main() -> None:
    """Print the table, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="folder with the series t1 and flair")
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()

    t1 = read_series(arguments.study / "t1", "t1").volume
    flair = read_series(arguments.study / "flair", "flair").volume
    with tempfile.TemporaryDirectory() as scratch:
        # Through a file, so that what is measured is what a user gets.
        made = Path(scratch) / "synthetic.nii.gz"
        hagan_clinic.translate(arguments.study, made)
        synthetic = read(made)

    grid = resampled_grid(canonical_grid(t1.grid), (SPACING_MM,) * 3)
    on_grid = {
        name: np.asarray(resample(volume, grid).array, np.float32)
        for name, volume in {"t1": t1, "flair": flair, "synthetic": synthetic}.items()
    }
    seen = resample(Volume(np.ones(flair.shape, np.float32), flair.affine), grid).array > 0.5
    brain = brain_of(on_grid["t1"]) & seen
    reference = from_unit(to_unit(on_grid["flair"], target_window(on_grid["flair"], brain)))
    copied = from_unit(to_unit(on_grid["t1"], source_window(on_grid["t1"], grid.spacing, brain)))
    predictions = {
        "synthetic FLAIR": on_grid["synthetic"],
        "T1 copied": copied,
        "constant (the reference's own mean: an oracle)": np.full_like(
            reference, reference[brain].mean()
        ),
        "synthetic FLAIR after a straight line (an oracle)": oracle_linear_fit(
            on_grid["synthetic"], reference, brain
        ),
    }
    print(f"{np.count_nonzero(brain) * SPACING_MM**3 / 1e6:.2f} l of brain on {grid}\n")
    print("| in the brain | PSNR dB | SSIM | NMSE | correlation |\n|---|---|---|---|---|")
    for name, prediction in predictions.items():
        spread = prediction[brain].std() > 1e-6
        same = np.corrcoef(prediction[brain], reference[brain])[0, 1] if spread else float("nan")
        figures = [f(prediction, reference, brain) for f in (psnr, ssim, nmse)]
        print(f"| {name} | {figures[0]:.2f} | {figures[1]:.3f} | {figures[2]:.3f} | {same:.2f} |")
    if arguments.picture:
        draw([copied, on_grid["synthetic"], reference, brain], arguments.picture)


def draw(volumes: list[NDArray[np.generic]], path: Path) -> None:
    """Axial slices of T1, synthetic FLAIR, real FLAIR and mask, a row each, right on the left."""
    rows = []
    for volume in volumes:
        slices = [volume[int(part * len(volume)), ::-1, ::-1] for part in SHOWN]
        rows.append(np.concatenate([np.clip(np.float32(one), 0, 1) for one in slices], axis=1))
    picture = Image.fromarray(np.uint8(255 * np.concatenate(rows)))
    ImageDraw.Draw(picture).text((4, 2), "T1 / SYNTHETIC / real / mask, NOT FOR DIAGNOSIS", 255)
    picture.save(path)


if __name__ == "__main__":
    main()
