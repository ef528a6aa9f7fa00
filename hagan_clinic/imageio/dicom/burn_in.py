"""The word SYNTHETIC drawn into slices, for viewers that hide what the header says."""

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError

# Five by seven, so drawn here: a font's pixels would change with the library that draws them, and
# the same UID must stand for the same pixels.
_LETTERS = {
    "S": (".####", "#....", "#....", ".###.", "....#", "....#", "####."),
    "Y": ("#...#", "#...#", ".#.#.", "..#..", "..#..", "..#..", "..#.."),
    "N": ("#...#", "##..#", "##..#", "#.#.#", "#..##", "#..##", "#...#"),
    "T": ("#####", "..#..", "..#..", "..#..", "..#..", "..#..", "..#.."),
    "H": ("#...#", "#...#", "#...#", "#####", "#...#", "#...#", "#...#"),
    "E": ("#####", "#....", "#....", "####.", "#....", "#....", "#####"),
    "I": (".###.", "..#..", "..#..", "..#..", "..#..", "..#..", ".###."),
    "C": (".####", "#....", "#....", "#....", "#....", "#....", ".####"),
}
_LAYOUTS = (("SYNTHETIC",), ("SYNTH", "ETIC"), ("SYN", "THE", "TIC"))

# The word's largest share of rows and columns. In small slices it may take all it needs.
_SHARE = (0.2, 0.5)


def burn_in(stored: NDArray[np.uint16], bright: int) -> None:
    """Draw the word into the upper left corner of every slice, in place.

    It is `bright` on a black box, of which every pixel is replaced: nothing shines through.

    Args:
        stored: Slices x rows x columns.
        bright: Stored value of the letters.

    Raises:
        InputError: The slices are too small to hold it.
    """
    _, rows, columns = stored.shape
    letters = stamp(rows, columns)
    stored[:, : letters.shape[0], : letters.shape[1]] = np.where(letters, bright, 0)


def stamp(rows: int, columns: int) -> NDArray[np.bool_]:
    """The word with a margin, as large as suits slices of this many rows and columns.

    Raises:
        InputError: No layout of it fits.
    """
    drawn = [_drawn(lines) for lines in _LAYOUTS]
    for letters in drawn:
        height, width = letters.shape
        scale = int(min(rows * _SHARE[0] / height, columns * _SHARE[1] / width))
        if scale >= 1:
            return letters.repeat(scale, axis=0).repeat(scale, axis=1)
    for letters in drawn:
        if letters.shape[0] <= rows and letters.shape[1] <= columns:
            return letters
    height, width = drawn[-1].shape
    raise InputError(
        f"the slices have {rows} rows and {columns} columns, too few to burn in SYNTHETIC; "
        f"expected {height} and {width} or more; leave out the burn-in"
    )


def _drawn(lines: tuple[str, ...]) -> NDArray[np.bool_]:
    """Lines of letters one above the other, a pixel between and around them."""
    width = 6 * max(len(line) for line in lines) + 1
    box = np.zeros((8 * len(lines) + 1, width), dtype=bool)
    for row, line in enumerate(lines):
        for column, letter in enumerate(line):
            glyph = np.array([list(dots) for dots in _LETTERS[letter]]) == "#"
            top, left = 8 * row + 1, 6 * column + 1
            box[top : top + 7, left : left + 5] = glyph
    return box
