"""SYNTHETIC stands in the pixels, legible at any matrix size."""

from pathlib import Path

import matplotlib
import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont

from hagan_clinic.errors import InputError
from hagan_clinic.imageio.dicom.burn_in import burn_in, stamp
from hagan_clinic.imageio.dicom.options import SeriesOptions

SIZES = [(25, 19), (32, 32), (64, 64), (128, 96), (192, 256), (512, 64), (512, 512), (1024, 1024)]


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_the_word_is_read_at_every_matrix_size(rows, columns):
    stored = np.full((2, rows, columns), 2000, dtype=np.uint16)
    burn_in(stored, bright=4095)
    for plane in stored:
        assert read(plane) == "SYNTHETIC"


@pytest.mark.parametrize(("rows", "columns"), SIZES[3:])
def test_the_word_leaves_the_image_free(rows, columns):
    height, width = stamp(rows, columns).shape
    assert height <= 0.2 * rows and width <= 0.5 * columns
    # and is not lost in it
    assert width >= columns / 4


def test_nothing_else_changes():
    stored = np.full((3, 128, 128), 2000, dtype=np.uint16)
    burn_in(stored, bright=4095)
    height, width = stamp(128, 128).shape
    changed = stored != 2000
    assert changed[:, :height, :width].all()
    assert changed.sum() == 3 * height * width


@pytest.mark.parametrize(("rows", "columns"), [(24, 19), (25, 18), (8, 512)])
def test_too_small_a_slice_is_refused(rows, columns):
    with pytest.raises(InputError, match=f"{rows} rows and {columns} columns, too few"):
        stamp(rows, columns)


def test_a_burnt_in_series_says_so_and_has_other_uids(write, stack, make_values):
    clean, burnt = (
        [pydicom.dcmread(path) for path in write(stack, options=SeriesOptions(burn_in=drawn))]
        for drawn in (False, True)
    )
    height, width = stamp(stack.grid.shape[1], stack.grid.shape[0]).shape
    for before, after in zip(clean, burnt, strict=True):
        assert (before.BurnedInAnnotation, after.BurnedInAnnotation) == ("NO", "YES")
        assert before.SOPInstanceUID != after.SOPInstanceUID
        assert read(after.pixel_array) == "SYNTHETIC"
        outside = np.ones(after.pixel_array.shape, dtype=bool)
        outside[:height, :width] = False
        assert (after.pixel_array == before.pixel_array)[outside].all()
        # The word's own black and white would widen it.
        assert (after.WindowCenter, after.WindowWidth) == (before.WindowCenter, before.WindowWidth)


def test_the_window_shows_the_word_white_on_black(write, stack, make_values):
    array = 0.2 + 0.1 * make_values(stack)
    dataset = pydicom.dcmread(write(stack, array=array, options=SeriesOptions(burn_in=True))[0])
    low = dataset.WindowCenter - dataset.WindowWidth / 2
    high = dataset.WindowCenter + dataset.WindowWidth / 2
    word = dataset.pixel_array[: stamp(64, 48).shape[0], : stamp(64, 48).shape[1]]
    assert ((word < low) | (word > high)).all()


def read(plane):
    """The text in the upper left corner, by the font it is most like at each place."""
    letters = stamp(*plane.shape)
    height, width = letters.shape
    scale = {55: 1, 31: 1, 19: 1}.get(width) or width // 55
    drawn = (plane[:height, :width] > 3000)[::scale, ::scale]
    text = ""
    for top in range(1, drawn.shape[0] - 1, 8):
        for left in range(1, drawn.shape[1] - 1, 6):
            glyph = drawn[top : top + 7, left : left + 5]
            if glyph.any():
                text += max(ALPHABET, key=lambda letter: likeness(glyph, ALPHABET[letter]))
    return text


def likeness(glyph, letter):
    return np.corrcoef(glyph.ravel(), letter.ravel())[0, 1]


def of_font(letter):
    """A capital of DejaVu Sans Mono, at the size of the letters drawn."""
    font = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSansMono.ttf"), 70)
    image = Image.new("L", (120, 120))
    ImageDraw.Draw(image).text((20, 20), letter, fill=255, font=font)
    return np.asarray(image.crop(image.getbbox()).resize((5, 7), Image.Resampling.BOX), dtype=float)


ALPHABET = {letter: of_font(letter) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
