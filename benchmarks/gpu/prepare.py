"""The cohort's volumes, prepared once for the parts that train: every core takes some."""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from given import given, tell

from hagan_clinic.data.cohort import find_cohort
from hagan_clinic.data.prepared import prepare_cohort
from hagan_clinic.data.split import split_by_column, split_by_patient
from hagan_clinic.training.config import TrainingConfig
from hagan_clinic.training.registry import gather_settings


def prepared(config: TrainingConfig, cache: Path, subjects: list[Any]) -> int:
    """How many volumes one process prepared."""
    return len(prepare_cohort(subjects, config.recipe, cache, shape=config.size))


def main() -> None:
    """Prepare who trains and who is validated on."""
    arguments = given()
    config = gather_settings(None, [], {**arguments.generator, "data": arguments.cohort()})
    recipe = config.recipe
    subjects = find_cohort(config.data, recipe.sources, recipe.target, config.mask or None)
    split = split_by_column(subjects) or split_by_patient(subjects, config.seed, config.fractions)
    seen = [*split.train, *split.calibration]
    workers = max(1, min(os.cpu_count() or 1, len(seen), 16))
    began = time.monotonic()
    job = partial(prepared, config, arguments.scratch / "cache")
    with ProcessPoolExecutor(workers) as pool:
        done = sum(pool.map(job, [seen[first::workers] for first in range(workers)]))
    tell(subjects=done, processes=workers, seconds=round(time.monotonic() - began, 1))


if __name__ == "__main__":
    main()
