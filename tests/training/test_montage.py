import numpy as np
import pytest

from hagan_clinic.training.montage import LEAST, montage


def tiles(height, width, captions=("source", "synthetic", "real", "uncertainty")):
    rng = np.random.default_rng(0)
    return [(one, rng.integers(0, 256, (height, width), np.uint8)) for one in captions]


@pytest.mark.parametrize("size", [(32, 32), (12, 40), (128, 96), (176, 176)])
def test_pictures_of_any_size_are_large_enough_and_keep_every_pixel(size):
    rows = [tiles(*size), tiles(*size)]
    sheet = montage(rows)
    factor = max(1, -(-LEAST // max(size)))
    assert factor * max(size) >= LEAST
    height, width = sheet.shape[0] // 2, sheet.shape[1] // 4
    for down, row in enumerate(rows):
        for along, (_, picture) in enumerate(row):
            tile = sheet[down * height : (down + 1) * height, along * width : (along + 1) * width]
            shown = tile[16 : 16 + factor * size[0], : factor * size[1]]
            assert np.array_equal(shown[::factor, ::factor], picture)
            assert np.array_equal(shown[factor - 1 :: factor, factor - 1 :: factor], picture)


def test_captions_do_not_run_into_each_other_or_the_pictures():
    narrow = [(word, np.zeros((40, 8), np.uint8)) for word in ["a long caption of a picture"] * 3]
    sheet = montage([narrow])
    assert not sheet[16:].any(), "the pictures are black, and no letter lies on them"
    width = sheet.shape[1] // 3
    words = [sheet[:16, along * width : (along + 1) * width] for along in range(3)]
    for word in words:
        assert word.max() > 200 and not word[:, -2:].any()
        assert np.array_equal(word, words[0])
