"""Pictures of a validation in a sheet that reads at any size of the volumes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]

LEAST = 160
"""Pixels of a picture's longer side at least: small ones are enlarged, each pixel to a square."""

_GAP, _CAPTION, _LETTERS = 4, 16, 12


def montage(rows: Sequence[Sequence[tuple[str, Picture]]]) -> Picture:
    """Captioned pictures (rows, columns) in rows of equal length; each has its caption over it.

    Returns:
        Grey values (rows, columns).
    """
    pictures = [picture for row in rows for _, picture in row]
    factor = max(1, -(-LEAST // max(max(picture.shape) for picture in pictures)))
    letters = ImageFont.load_default(_LETTERS)
    captions = [int(letters.getlength(caption)) + 1 for row in rows for caption, _ in row]
    width = max(*captions, *(factor * picture.shape[1] for picture in pictures)) + _GAP
    height = factor * max(len(picture) for picture in pictures) + _CAPTION + _GAP
    sheet = Image.new("L", (width * len(rows[0]), height * len(rows)))
    draw = ImageDraw.Draw(sheet)
    for down, row in enumerate(rows):
        for along, (caption, picture) in enumerate(row):
            left, top = along * width, down * height
            enlarged = picture.repeat(factor, 0).repeat(factor, 1)
            draw.text((left + 2, top + _CAPTION // 2), caption, 255, letters, anchor="lm")
            sheet.paste(Image.fromarray(enlarged), (left, top + _CAPTION))
    return np.asarray(sheet)
