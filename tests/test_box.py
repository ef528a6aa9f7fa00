"""Where the network's box lies, on boxes of tissue whose place is known."""

from dataclasses import replace

import numpy as np
import pytest

from hagan_clinic.box import fixed_box, grown_box, missed_by, share_outside
from hagan_clinic.recipe import Recipe

ONE_MM = (1.0, 1.0, 1.0)
RECIPE = Recipe(
    sources=("t1",),
    target="flair",
    spacing=ONE_MM,
    multiple=16,
    halo=8,
    interval_factor=2.0,
    margin_mm=4.0,
    box=(160, 192, 160),
    box_grows=True,
)


def tissue(*cuboids, shape=(256, 240, 220)):
    """Cuboids of tissue, each as three pairs of first voxel and end."""
    mask = np.zeros(shape, bool)
    for d, h, w in cuboids:
        mask[slice(*d), slice(*h), slice(*w)] = True
    return mask


HEAD = ((60, 240), (20, 220), (30, 190))
NECK = ((0, 60), (60, 180), (60, 160))
SHOULDERS = ((0, 20), (20, 220), (0, 220))


def grown(mask, brain=None, recipe=RECIPE):
    start, _ = fixed_box(mask if brain is None else brain, brain, recipe.spacing, recipe)
    return grown_box(mask, brain, start[0], recipe.spacing, recipe)


def inside(start, size):
    return tuple(slice(max(a, 0), a + n) for a, n in zip(start, size, strict=True))


def test_a_head_larger_than_the_training_is_held_with_its_margin():
    start, size = grown(tissue(HEAD, NECK, SHOULDERS))
    # 4 mm around 200 and 160 mm, in sixteens; the middle stays the head's.
    assert (start[1], size[1]) == (16, 208)
    assert (start[2], size[2]) == (22, 176)


def test_of_the_neck_no_more_is_seen_than_in_the_box_of_the_training():
    mask = tissue(HEAD, NECK, SHOULDERS)
    start, size = grown(mask)
    trained, _ = fixed_box(mask, None, ONE_MM, RECIPE)
    assert start[0] == trained[0] == 70
    # What the multiple adds to 170 mm and the margin lies above the head.
    assert size[0] == 176


def test_a_stripped_brain_takes_a_smaller_box_than_the_training():
    brain = tissue(((100, 225), (40, 205), (50, 185)))
    start, size = grown(brain)
    assert size == (144, 176, 144)
    assert share_outside(brain, start, size) == 0
    assert start[0] == 96


def test_where_a_scan_ends_around_a_head_changes_nothing():
    brain = tissue(((40, 165), (40, 205), (50, 185)))
    tight = brain[38:170, 40:205, 47:190]
    (wide_start, wide_size), (start, size) = grown(brain), grown(tight)
    assert size == wide_size
    assert start == [first - cut for first, cut in zip(wide_start, (38, 40, 47), strict=True)]
    assert min(start) < 0


def test_a_mask_says_where_the_neck_begins_and_is_held_even_in_air():
    mask, brain = tissue(HEAD, NECK), tissue(((120, 220), (50, 190), (50, 216)))
    start, size = grown(mask, brain)
    assert start[0] == 170 - 80  # the box of the training around the mask begins there
    assert share_outside(brain, start, size) == 0
    # A mask taller than the box is held whole.
    tall = tissue(((40, 235), (50, 190), (50, 170)))
    start, size = grown(mask, tall)
    assert start[0] == 40 and start[0] + size[0] >= 239


def test_a_single_voxel_of_noise_moves_nothing():
    mask = tissue(HEAD, NECK)
    expected = grown(mask)
    mask[200, 1, 1] = mask[250, 100, 2] = True
    assert grown(mask) == expected


def test_the_tip_of_a_nose_is_held():
    nose = ((110, 120), (220, 230), (105, 115))
    _, size = grown(tissue(HEAD))
    start, longer = grown(tissue(HEAD, nose))
    assert start[1] + longer[1] >= 230 + 4 > 16 + size[1]


def test_what_is_no_head_is_cut_at_half_as_much_again_as_the_training():
    recipe = replace(RECIPE, box=(96, 112, 96))
    _, size = grown(tissue(((0, 256), (0, 240), (0, 220))), recipe=recipe)
    assert size[1:] == (160, 144)


@pytest.mark.parametrize("thick", [4.0, 2.0])
def test_the_margin_is_in_mm(thick):
    recipe = replace(RECIPE, margin_mm=8.0)
    mask = tissue(((100, 120), (50, 98), (50, 98)))
    start, size = grown_box(mask, None, 0, (thick, thick, thick), recipe)
    margin = round(8 / thick)
    assert start[0] == 100 - margin
    assert size[1] == -(-(48 + 2 * margin) // 16) * 16


def test_a_box_that_holds_all_tissue_misses_nothing():
    mask = tissue(HEAD)
    assert missed_by(mask, [50, 10, 20], (200, 220, 180)) is None
    assert missed_by(mask, [-10, -10, -10], (300, 300, 300)) is None


def test_bone_and_airways_of_a_neck_are_missed_with_it_and_the_air_around_is_not():
    mask = tissue(HEAD, NECK)
    mask[:60, 100:120, 100:120] = False  # an airway
    missed = missed_by(mask, [60, 0, 0], (196, 240, 220))
    assert missed is not None
    assert np.array_equal(missed, tissue(NECK))


def test_inside_the_box_nothing_is_missed():
    mask = tissue(HEAD)
    start, size = [100, 60, 60], (64, 80, 80)
    missed = missed_by(mask, start, size)
    assert missed is not None
    assert not missed[inside(start, size)].any()
    missed[inside(start, size)] = True
    assert np.array_equal(missed, mask)
