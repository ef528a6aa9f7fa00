"""A direction of the latent space that a measurement grows along, and its file."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError
from hagan_clinic.imageio import atomic_path
from hagan_clinic.imageio.arrays import open_npz

_TEXTS = ("identity", "measure")
_NUMBERS = ("intercept", "r2", "mean", "std")


@dataclass(frozen=True, eq=False)
class Direction:
    """A linear prediction of a measurement from latents; its coefficients are the direction.

    Attributes:
        identity: Of the model whose encoder made the latents.
        measure: Name of the measurement, such as ``brain_ml``.
        coefficients: (latent,) float64, not all zero.
        intercept: In units of the measurement.
        r2: On held-out patients, see `regression.Fit`.
        mean: Of the measurement over the subjects of the fit.
        std: Standard deviation of the same.

    Raises:
        InputError: Coefficients that are no direction, or numbers that are not finite.
    """

    identity: str
    measure: str
    coefficients: NDArray[np.float64]
    intercept: float
    r2: float
    mean: float
    std: float

    def __post_init__(self) -> None:
        numbers = [getattr(self, name) for name in _NUMBERS]
        found = self.coefficients
        if found.ndim != 1 or not (np.isfinite(found).all() and np.isfinite(numbers).all()):
            raise InputError(
                f"the direction has coefficients of shape {found.shape} or numbers that are not "
                "finite; fit it again"
            )
        if not found.any():
            raise InputError(
                f"all coefficients of the direction are zero: {self.measure} does not change with "
                "the latents; fit another measurement"
            )

    @property
    def means_nothing(self) -> bool:
        """Whether it predicts held-out patients no better than the mean of the others."""
        return self.r2 <= 0

    def predict(self, latents: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, latent) -> (N,) in units of the measurement."""
        return np.asarray(latents.astype(np.float64) @ self.coefficients + self.intercept)

    def check_fits(self, identity: str, latent: int) -> None:
        """Make sure that this was fitted to the latents of a model.

        Args:
            identity: The model's.
            latent: Length of the model's z.

        Raises:
            InputError: It was not.
        """
        if len(self.coefficients) != latent:
            raise InputError(
                f"the direction of {self.measure} has {len(self.coefficients)} coefficients, and "
                f"the model's latents have {latent} numbers; encode with this model and fit again"
            )
        if identity != self.identity:
            raise InputError(
                f"the direction of {self.measure} was fitted to latents of another model "
                f"({self.identity[:12]}, this is {identity[:12]}); encode with this model and fit "
                "again"
            )


def write_direction(direction: Direction, path: Path) -> None:
    """Write a direction as ``.npz``, atomically.

    Raises:
        OutputError: It cannot be written.
    """
    names = ("coefficients", *_TEXTS, *_NUMBERS)
    stored = {name: np.asarray(getattr(direction, name)) for name in names}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **stored)


def read_direction(path: Path) -> Direction:
    """Read what `write_direction` wrote; nothing pickled is ever loaded.

    Raises:
        InputError: The file is missing, damaged or no direction.
    """
    try:
        with open_npz(path) as stored:
            return _direction(dict(stored))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; `hagan-clinic latent fit` writes it") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: is not a direction ({type(error).__name__}: {error}); expected the .npz file "
            "that `hagan-clinic latent fit` writes"
        ) from error


def _direction(stored: dict[str, NDArray[Any]]) -> Direction:
    values: dict[str, Any] = {name: str(stored[name]) for name in _TEXTS}
    values |= {name: float(stored[name]) for name in _NUMBERS}
    return Direction(coefficients=stored["coefficients"].astype(np.float64), **values)
