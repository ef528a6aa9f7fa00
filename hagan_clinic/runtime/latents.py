"""Latents: drawn at random, and stored in files with the names of their scans or samples."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagan_clinic.errors import InputError, OutputError
from hagan_clinic.imageio import atomic_path, write_text
from hagan_clinic.imageio.arrays import open_npz

Float32 = NDArray[np.float32]

SUFFIXES = (".npz", ".csv")
SMALLEST_TRUNCATION = 0.01

_COMMENT = re.compile(r"# hagan-clinic latents, image (?P<image>.*), model (?P<identity>[0-9a-f]*)")


@dataclass(frozen=True, eq=False)
class Latents:
    """Latents z of some volumes, and which model they belong to.

    Attributes:
        latents: (N, latent) float32.
        names: Of the N volumes, each once.
        identity: sha256 of the weights (`Generator.identity`) in whose space they lie.
        image: The sequence that the model makes.
        labels: Class of each volume; empty for a model without classes, or where not known.

    Raises:
        InputError: The parts do not fit together, or a value is not finite.
    """

    latents: Float32
    names: tuple[str, ...]
    identity: str
    image: str
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.latents.ndim != 2 or 0 in self.latents.shape:
            raise InputError(f"latents of shape {self.latents.shape}, expected (volumes, latent)")
        if len(self.names) != len(self.latents) or len(set(self.names)) < len(self.names):
            raise InputError(
                f"{len(self.names)} names, {len(set(self.names))} of them different, for "
                f"{len(self.latents)} latents: expected a name of its own for each"
            )
        if self.labels and len(self.labels) != len(self.latents):
            raise InputError(f"{len(self.labels)} labels for {len(self.latents)} latents")
        if not np.isfinite(self.latents).all():
            raise InputError("the latents hold NaN or infinite values; encode the volumes again")

    def check_fits(self, identity: str, latent: int, where: str) -> None:
        """Refuse latents of another model.

        Args:
            identity: Of the model they are to be used with.
            latent: Length of its z.
            where: Names these latents in the error.

        Raises:
            InputError: Another length, or another model's space.
        """
        if self.latents.shape[1] != latent:
            raise InputError(
                f"{where}: latents of length {self.latents.shape[1]}, and the model's have "
                f"{latent}: encode the volumes with this model"
            )
        if self.identity != identity:
            raise InputError(
                f"{where}: latents of another model (weights {self.identity[:12]}, this one's are "
                f"{identity[:12]}): encode the volumes with this model"
            )


def draw_latents(count: int, latent: int, seed: int, truncation: float | None = None) -> Float32:
    """Latents from N(0, I), each a function of the seed and its own number alone.

    Args:
        count: How many.
        latent: Length of each.
        seed: Zero or more.
        truncation: Values beyond ± this are drawn again until they lie within, the truncation
            trick of Brock et al. 2019 (BigGAN, section 3.1): the lower, the more typical and the
            more alike the volumes. None draws from the whole distribution.

    Returns:
        (count, latent) float32.

    Raises:
        InputError: The truncation is below `SMALLEST_TRUNCATION`.
    """
    if truncation is not None and not truncation >= SMALLEST_TRUNCATION:
        raise InputError(f"truncation is {truncation}: expected {SMALLEST_TRUNCATION:g} or more")
    rows = np.empty((count, latent), np.float32)
    for number, row in enumerate(rows):
        source = np.random.default_rng((seed, number))
        row[:] = source.standard_normal(latent)
        while truncation is not None and (beyond := np.abs(row) > truncation).any():
            row[beyond] = source.standard_normal(np.count_nonzero(beyond))
    return rows


def _check_suffix(path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    if path.suffix.lower() not in suffixes:
        found = path.suffix or "no suffix"
        raise OutputError(f"{path}: has {found}, expected {' or '.join(suffixes)}")


def write_latents(latents: Latents, path: Path) -> None:
    """Write latents atomically, as `.npz` or `.csv` by the suffix.

    The `.npz` holds `latents`, `names`, `identity`, `image` and, if there are any, `labels`, none
    of them pickled. The CSV has the columns `subject`, `label` if there are any, `z0`, `z1` and so
    on, under a first line that begins with `#` and tells image and model.

    Raises:
        OutputError: Another suffix, or the file cannot be written.
    """
    _check_suffix(path)
    if path.suffix.lower() == ".csv":
        write_text(_as_csv(latents), path)
        return
    fields: dict[str, Any] = {
        "latents": latents.latents.astype(np.float32),
        "names": np.array(latents.names, dtype=np.str_),
        "identity": np.array(latents.identity),
        "image": np.array(latents.image),
    }
    if latents.labels:
        fields["labels"] = np.array(latents.labels, dtype=np.str_)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **fields)


def read_latents(path: str | Path) -> Latents:
    """Read what `write_latents` wrote; nothing pickled is loaded.

    Raises:
        InputError: The file is missing, damaged, or holds something else.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: not a file of latents, expected {' or '.join(SUFFIXES)}")
    try:
        return _from_csv(path) if path.suffix.lower() == ".csv" else _from_npz(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # zipfile, numpy and csv each raise their own
        raise InputError(
            f"{path}: not a file of latents as `hagan-clinic encode` writes it ({error})"
        ) from error


def _from_npz(path: Path) -> Latents:
    with open_npz(path) as file:
        if missing := [n for n in ("latents", "names", "identity", "image") if n not in file]:
            raise InputError(f"lacks {', '.join(missing)}: write it with `hagan-clinic encode`")
        return Latents(
            latents=np.asarray(file["latents"], np.float32),
            names=_texts(file["names"]),
            identity=str(file["identity"]),
            image=str(file["image"]),
            labels=_texts(file["labels"]) if "labels" in file else (),
        )


def _texts(values: NDArray[Any]) -> tuple[str, ...]:
    return tuple(str(value) for value in values.tolist())


def _as_csv(latents: Latents) -> str:
    text = io.StringIO()
    text.write(f"# hagan-clinic latents, image {latents.image}, model {latents.identity}\n")
    writer = csv.writer(text, lineterminator="\n")
    labelled = ["label"] if latents.labels else []
    writer.writerow(["subject", *labelled, *(f"z{i}" for i in range(latents.latents.shape[1]))])
    labels: Sequence[str] = latents.labels or [""] * len(latents.names)
    for name, label, row in zip(latents.names, labels, latents.latents, strict=True):
        # Nine digits give every float32 back.
        writer.writerow([name, *([label] if labelled else []), *(f"{z:.9g}" for z in row)])
    return text.getvalue()


def _from_csv(path: Path) -> Latents:
    with path.open(newline="", encoding="utf-8") as file:
        stated = _COMMENT.fullmatch(file.readline().rstrip())
        header, *rows = list(csv.reader(file))
    if stated is None:
        raise InputError("lacks the first line that names its model: it was not written by encode")
    first = 2 if header[1:2] == ["label"] else 1
    values = np.array([[float(z) for z in row[first:]] for row in rows], np.float32)
    return Latents(
        latents=values,
        names=tuple(row[0] for row in rows),
        identity=stated["identity"],
        image=stated["image"],
        labels=tuple(row[1] for row in rows) if first == 2 else (),
    )
