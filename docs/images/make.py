"""Makes the pictures of README, tutorial and model card: source, synthetic, real and error bar.

usage: python docs/images/make.py [DATA]

translation.png is of the shipped patient. With DATA, a folder that has brats_1mm (see the model
card), test_patient.png is of a patient that the bundled generator was not trained on.
"""

import sys
from pathlib import Path

import numpy as np

from hagan_clinic.imageio import read
from hagan_clinic.intensity import from_unit, target_window, to_unit
from hagan_clinic.runtime import Translator
from hagan_clinic.runtime.preview import draw_preview

IMAGES = Path(__file__).parent
SHIPPED = IMAGES.parents[1] / "examples" / "open_ms_patient07"
TEST_PATIENT = "BraTS2021_01478"


def draw(translator: Translator, t1: Path, flair: Path, output: Path, whose: str) -> None:
    """One patient's picture."""
    translation = translator.translate(t1)
    source, real = read(t1), read(flair)
    brain = (source.array > 0) & (real.array > 0)
    scaled = from_unit(to_unit(real.array, target_window(real.array, brain)))
    card = translator.model.card
    draw_preview(
        [("t1", source)],
        ("flair", translation.volume),
        translation.uncertainty,
        f"{whose}; {card.name} {card.version}, {card.licence}",
        real.with_array(np.where(brain, scaled, np.float32(0))),
    ).save(output, optimize=True)


def main() -> None:
    """Both pictures, or the first alone."""
    translator = Translator(device="cpu")
    t1, flair = (SHIPPED / f"open_ms_patient07_{kind}.nii.gz" for kind in ("t1", "flair"))
    draw(translator, t1, flair, IMAGES / "translation.png", "open_ms_data patient 07, CC BY 4.0")
    if len(sys.argv) > 1:
        folder = Path(sys.argv[1]) / "brats_1mm" / TEST_PATIENT
        t1, flair = (folder / f"{TEST_PATIENT}_{kind}.nii.gz" for kind in ("t1", "flair"))
        whose = f"{TEST_PATIENT}, a test patient, CC BY 4.0"
        draw(translator, t1, flair, IMAGES / "test_patient.png", whose)


if __name__ == "__main__":
    main()
