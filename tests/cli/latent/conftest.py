"""Latents, measurements and a direction of the small unconditional run, on real brains."""

import csv

import numpy as np
import pytest
from click.testing import CliRunner

from hagan_clinic.cli import main

PATIENTS = 12


@pytest.fixture
def hagan():
    """The function that calls a subcommand of `latent` and gives its result."""

    def call(*arguments, code=0):
        result = CliRunner().invoke(main, ["latent", *map(str, arguments)])
        assert result.exit_code == code, result.output
        if code not in (0, 2):
            assert result.stderr.count("\n") == 1, result.stderr
        return result

    return call


@pytest.fixture(scope="session")
def twelve(test_data, tmp_path_factory):
    """Twelve patients of the real cohort with their shared brain mask, as a CSV."""
    root = test_data / "lgg_mni"
    names = sorted(folder.name for folder in root.iterdir() if folder.is_dir())[:PATIENTS]
    path = tmp_path_factory.mktemp("twelve") / "cohort.csv"
    with path.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["subject", "t1", "mask", "seg"])
        for name in names:
            files = [root / name / f"{name}_{kind}.nii.gz" for kind in ("t1", "seg")]
            rows.writerow([name, files[0], root / "brain_mask.nii.gz", files[1]])
    return path


def run(*arguments):
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="session")
def latents(unconditional_run, twelve, made_once):
    """Latents of the twelve patients."""

    def encode(folder):
        run("encode", unconditional_run, twelve, "-o", folder / "latents.npz", "--device", "cpu")

    return made_once("latents", encode) / "latents.npz"


@pytest.fixture(scope="session")
def volumes(twelve, made_once):
    """Brain and lesion volumes of the twelve patients."""

    def measure(folder):
        run("latent", "measure", twelve, "-o", folder / "volumes.csv", "--lesions")

    return made_once("volumes", measure) / "volumes.csv"


@pytest.fixture(scope="session")
def direction(latents, volumes, tmp_path_factory):
    """Of brain_ml."""
    path = tmp_path_factory.mktemp("direction") / "brain.npz"
    run("latent", "fit", latents, volumes, "--measure", "brain_ml", "-o", path)
    return path


@pytest.fixture
def names(latents):
    """The twelve patients."""
    return np.load(latents)["names"].tolist()
