"""A small cohort of brain-like volumes at 6 mm."""

import csv
import subprocess
from functools import partial

import pytest

DISCRIMINATORS = ("SlabDiscriminator", "LowResolutionDiscriminator")


@pytest.fixture(scope="module", autouse=True)
def narrow_discriminators():
    """Discriminators an eighth as wide: theirs is half of what a tiny run computes and writes."""
    from hagan_clinic.conditional import hagan

    with pytest.MonkeyPatch.context() as patch:
        for name in DISCRIMINATORS:
            patch.setattr(hagan, name, partial(getattr(hagan, name), width=64))
        yield


@pytest.fixture
def full_discriminators(monkeypatch):
    """Discriminators as they are, for a run that is compared with one of other processes."""
    from hagan_clinic.backbone import discriminator
    from hagan_clinic.conditional import hagan

    for name in DISCRIMINATORS:
        monkeypatch.setattr(hagan, name, getattr(discriminator, name))


@pytest.fixture(scope="session")
def tiny_settings(small_cohort):
    """Settings that train on the small cohort in seconds."""
    return {
        "data": str(small_cohort),
        "steps": 4,
        "batch_size": 1,
        "spacing": 6.0,
        "slab": 16,
        "halo": 4,
        "half_width": 8,
        "quarter_width": 16,
        "workers": 0,
        "device": "cpu",
        "validate_every": 4,
        "checkpoint_every": 2,
        "adversarial_start": 0.25,
    }


@pytest.fixture
def remount_read_only():
    """The function that makes a mounted file system read-only."""

    def remount(folder):
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)

    return remount


@pytest.fixture(scope="session")
def logged():
    """A function that gives a run's values of one name, with their steps."""

    def values(folder, name):
        with (folder / "metrics.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["name"] == name]
        return [(int(row["step"]), float(row["value"])) for row in rows]

    return values
