"""Makes the pictures of README, tutorial and model card: source, synthetic, real and error bar.

usage: python docs/images/make.py [DATA]

translation.png is of the shipped patient, and page.png is its page to look at in Chromium. With
DATA, a folder that has brats_1mm and pairs_1mm (see the model card), test_patient.png is of a
patient that the bundled generator was not trained on, and batch.png is the page of two patients.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from hagan_clinic.imageio import read
from hagan_clinic.intensity import from_unit, target_window, to_unit
from hagan_clinic.runtime import Translator
from hagan_clinic.runtime.page import Failure, ShownSubject, make_subject, room_for, write_page
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


def looked_at(translator: Translator, t1: Path, flair: Path, count: int = 1) -> ShownSubject:
    """One patient of so many on a page."""
    translation = translator.translate(t1)
    return make_subject(
        t1.name,
        [("t1", read(t1))],
        ("flair", translation.volume),
        uncertainty=translation.uncertainty,
        real=read(flair),
        warnings=translation.report["warnings"],
        limit=room_for(count),
    )


def draw_page(
    rows: Sequence[ShownSubject | Failure], output: Path, height: int, colours: int
) -> None:
    """A page, as a browser shows it."""
    with TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        write_page(rows, page)
        browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu"]
        window = [f"--window-size=1200,{height}", "--virtual-time-budget=5000"]
        subprocess.run([*browser, *window, f"--screenshot={output}", page.as_uri()], check=True)
    with Image.open(output) as picture:
        picture.convert("RGB").quantize(colours).save(output, optimize=True)


def main() -> None:
    """All pictures, or those of the shipped patient alone."""
    translator = Translator(device="cpu")
    t1, flair = (SHIPPED / f"open_ms_patient07_{kind}.nii.gz" for kind in ("t1", "flair"))
    draw(translator, t1, flair, IMAGES / "translation.png", "open_ms_data patient 07, CC BY 4.0")
    shipped = looked_at(translator, t1, flair, 2)
    draw_page([shipped], IMAGES / "page.png", 1000, 128)
    if len(sys.argv) > 1:
        other = Path(sys.argv[1]) / "pairs_1mm" / "OPENMS-patient19"
        pair = (other / f"{other.name}_{kind}.nii.gz" for kind in ("t1", "flair"))
        failed = Failure("patient 08, t1.nii.gz", "t1.nii.gz: the file is truncated; copy it again")
        rows = [failed, looked_at(translator, *pair, 2), shipped]
        draw_page(rows, IMAGES / "batch.png", 640, 64)
        folder = Path(sys.argv[1]) / "brats_1mm" / TEST_PATIENT
        t1, flair = (folder / f"{TEST_PATIENT}_{kind}.nii.gz" for kind in ("t1", "flair"))
        whose = f"{TEST_PATIENT}, a test patient, CC BY 4.0"
        draw(translator, t1, flair, IMAGES / "test_patient.png", whose)


if __name__ == "__main__":
    main()
