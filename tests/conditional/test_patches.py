import itertools

import pytest
import torch

from hagan_clinic.conditional.patches import PatchGrid, place


@pytest.mark.parametrize("box", [(128, 160, 128), (176, 192, 160), (32, 300, 140), (64, 64, 64)])
def test_patches_cover_the_box_and_overlap_by_about_half(box):
    grid = PatchGrid(box, 128, 4)
    covered = torch.zeros(grid.padded)
    for d, h, w in grid.starts:
        assert d % 4 == h % 4 == w % 4 == 0
        covered[d : d + 128, h : h + 128, w : w + 128] += 1
    assert covered.min() >= 1
    for axis in range(3):
        starts = sorted({start[axis] for start in grid.starts})
        assert all(b - a <= 64 + 4 for a, b in itertools.pairwise(starts))
        assert starts[-1] + 128 == grid.padded[axis] == max(box[axis], 128)


def test_cut_and_placed_patches_are_where_they_were():
    grid = PatchGrid((12, 20, 8), 8, 4)
    volume = torch.randn(1, 1, 12, 20, 8)
    for start, patch in zip(grid.starts, grid.cut(grid.pad(volume)), strict=True):
        back = place(patch, start, grid.padded)
        assert back.shape == (1, 1, *grid.padded)
        assert torch.equal(back[back != 0], volume[back[..., :8] != 0])


def test_a_short_box_goes_on_with_background_at_its_far_end():
    grid = PatchGrid((4, 8, 6), 8, 4)
    padded = grid.pad(torch.zeros(1, 2, 4, 8, 6))
    assert padded.shape == (1, 2, 8, 8, 8)
    assert (padded[:, :, 4:] == -1).all() and (padded[..., 6:] == -1).all()
    assert (grid.crop(padded) == 0).all()
