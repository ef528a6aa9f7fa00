from dataclasses import replace

import numpy as np
import pytest

from hagan_clinic.data.augment import AugmentConfig
from hagan_clinic.data.draws import draw

EVERY = AugmentConfig(
    stripped=1.0, erosion=1.0, erosion_voxels=3, flip=1.0, affine=1.0, anisotropy=1.0,
    bias_field=1.0, gamma=1.0, noise=1.0,
)  # fmt: skip
WIDE = replace(EVERY, degrees=15.0, scale=0.15, shift_mm=18.0)


def many(augment, number=400, forms=2):
    return [draw(augment, 0, n, 1, forms) for n in range(number)]


def test_nothing_is_drawn_without_augmentation():
    for drawn in many(AugmentConfig.none(), 20):
        assert not (drawn.stripped or drawn.erosion or drawn.flip or drawn.noise)
        assert drawn.affine is drawn.bias is drawn.gamma is drawn.thick is None
        assert (drawn.matrix((8, 12, 16), (1.0, 1.0, 1.0)) == np.eye(3, 4)).all()


@pytest.mark.parametrize(
    ("name", "width", "middle"), [("degrees", 15, 0), ("scales", 0.15, 1), ("shift_mm", 18, 0)]
)
def test_affines_fill_their_range(name, width, middle):
    found = np.array([getattr(drawn.affine, name) for drawn in many(WIDE)]) - middle
    assert (np.abs(found) <= width).all()
    assert (found.min(0) < -0.95 * width).all() and (found.max(0) > 0.95 * width).all()
    assert np.abs(found.mean(0)).max() < 0.15 * width


def test_everything_else_fills_its_range():
    every = many(EVERY)
    assert {drawn.erosion for drawn in every} == {1, 2, 3}
    assert {drawn.thick[0] for drawn in every} == {0, 1, 2}
    thick = [drawn.thick[1] for drawn in every]
    assert 1.5 <= min(thick) < 1.55 and 2.95 < max(thick) <= 3
    assert 0.98 * 0.03 < max(drawn.noise for drawn in every) <= 0.03
    logs = np.log([drawn.gamma[0] for drawn in every])
    assert np.abs(logs).max() <= 0.2 and logs.min() < -0.19 and logs.max() > 0.19
    bias = np.stack([drawn.bias[0] for drawn in every])
    assert bias.shape == (400, 20) and np.abs(bias).max() <= 0.2 < 1.02 * bias.max()


HAPPENED = {
    "stripped": lambda drawn: drawn.stripped,
    "erosion": lambda drawn: drawn.erosion > 0,
    "flip": lambda drawn: drawn.flip,
    "affine": lambda drawn: drawn.affine is not None,
    "anisotropy": lambda drawn: drawn.thick is not None,
    "bias_field": lambda drawn: drawn.bias is not None,
    "gamma": lambda drawn: drawn.gamma is not None,
    "noise": lambda drawn: drawn.noise > 0,
}


@pytest.mark.parametrize("name", HAPPENED)
def test_each_happens_with_its_probability_and_leaves_the_others_alone(name):
    happened = HAPPENED[name]
    every, some = many(EVERY), many(replace(EVERY, **{name: 0.3}))
    assert sum(map(happened, every)) == 400
    assert 90 < sum(map(happened, some)) < 150
    for one, other in zip(every, some, strict=True):
        if happened(other):
            assert repr(one) == repr(other)


def test_a_subject_of_one_form_is_never_stripped_or_eroded():
    assert not any(drawn.stripped or drawn.erosion for drawn in many(EVERY, 50, forms=1))


def test_a_volume_depends_on_seed_and_number_alone():
    assert repr(draw(EVERY, 3, 7, 2, 2)) == repr(draw(EVERY, 3, 7, 2, 2))
    assert repr(draw(EVERY, 3, 7, 2, 2)) != repr(draw(EVERY, 4, 7, 2, 2))
    assert repr(draw(EVERY, 3, 7, 2, 2)) != repr(draw(EVERY, 3, 8, 2, 2))


def test_each_channel_has_its_own_field_and_contrast():
    drawn = draw(EVERY, 0, 0, 3, 2)
    assert len({tuple(terms) for terms in drawn.bias}) == len(set(drawn.gamma)) == 3
