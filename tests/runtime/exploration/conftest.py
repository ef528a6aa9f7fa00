"""A generator whose volumes are known: balls whose radius grows with the first number of z."""

import numpy as np
import pytest

from hagan_clinic.recipe import Recipe
from hagan_clinic.runtime.synthesis import Facts, Generator

LATENT = 6


class Balls:
    """At (0, 0, 0) a ball of 8 voxels radius; at 1 of 9."""

    def image(self, latent):
        z, y, x = (np.arange(32) - 15.5,) * 3
        distance = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
        return np.where(distance < 8 + latent[0, 0], 0.6, -1).astype(np.float32)


@pytest.fixture
def balls():
    recipe = Recipe(("t1",), "", (3.0, 3.0, 3.0), 8, 4, 0.0, box=(32, 32, 32))
    return Generator(Facts("balls", "ab" * 32, recipe, LATENT, licence="CC0-1.0"), Balls())


@pytest.fixture
def broken(balls, monkeypatch):
    """The same, whose third volume cannot be made."""
    made = []
    right = Balls()

    def image(latent):
        made.append(latent)
        if len(made) == 3:
            raise MemoryError
        return right.image(latent)

    monkeypatch.setattr(balls._network, "image", image)
    return balls
