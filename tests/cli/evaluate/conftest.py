"""Real patients at 6 mm, and a small generator for them."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main
from hagan_clinic.imageio import read, write
from hagan_clinic.volume import Volume

EVERY = 4
SIDES = ("train", "train", "test", "test", "test")


@pytest.fixture
def evaluate():
    """The function that calls a subcommand of `evaluate` and gives its result."""

    def call(*arguments, code=0):
        result = CliRunner().invoke(main, ["evaluate", *map(str, arguments)])
        assert result.exit_code == code, result.output
        if code not in (0, 2):
            assert result.stderr.strip().splitlines()[-1].startswith("error: "), result.stderr
        return result

    return call


@dataclass(frozen=True)
class Patients:
    """Files of real patients, every fourth voxel of theirs."""

    folder: Path
    names: tuple[str, ...]

    def file(self, name, kind):
        return self.folder / f"{name}_{kind}.nii"

    @property
    def mask(self):
        return self.folder / "brain_mask.nii"

    def table(self, path, sides=SIDES, **changed):
        """A CSV of the cohort; `changed` replaces columns of the last patient."""
        rows = []
        for name, side in zip(self.names, sides, strict=False):
            files = {kind: self.file(name, kind) for kind in ("t1", "flair", "seg")}
            rows.append({"subject": name, **files, "mask": self.mask, "split": side})
        rows[-1] |= changed
        with path.open("w", newline="") as out:
            writer = csv.DictWriter(out, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path


def thinned(source, target):
    volume = read(source)
    affine = volume.affine.copy()
    affine[:3, :3] *= EVERY
    write(Volume(volume.array[::EVERY, ::EVERY, ::EVERY], affine), target, description="real")


@pytest.fixture(scope="session")
def patients(test_data, tmp_path_factory):
    """Five patients of the real cohort."""
    root = test_data / "lgg_mni"
    folder = tmp_path_factory.mktemp("patients")
    names = sorted(path.name for path in root.iterdir() if path.is_dir())[: len(SIDES)]
    for name in names:
        for kind in ("t1", "flair", "seg"):
            thinned(root / name / f"{name}_{kind}.nii.gz", folder / f"{name}_{kind}.nii")
    thinned(root / "brain_mask.nii.gz", folder / "brain_mask.nii")
    return Patients(folder, tuple(names))


@pytest.fixture(scope="session")
def cohort(patients):
    """Two patients to train on and three to test, as a CSV."""
    return patients.table(patients.folder / "cohort.csv")


@pytest.fixture(scope="session")
def translator(make_generator, tmp_path_factory):
    """A generator at the patients' spacing."""
    return make_generator(tmp_path_factory.mktemp("model") / "small.onnx", spacing=(6.0,) * 3)


@pytest.fixture
def csv_rows():
    """The function that reads a CSV."""

    def rows(path):
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    return rows


@pytest.fixture
def made_volume():
    """The function that writes a volume in place of another, on its grid."""

    def make(path, like, change):
        volume = read(like)
        write(volume.with_array(change(volume.array).astype(np.float32)), path, description="made")
        return path

    return make
