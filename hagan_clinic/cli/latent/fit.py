"""`hagan-clinic latent fit`: the direction that a measurement grows along."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from hagan_clinic.cli.printing import note, say
from hagan_clinic.errors import InputError, some

_PATH = click.Path(path_type=Path)


@click.command(short_help="Find the direction that a measurement grows along.")
@click.argument("latents", type=_PATH)
@click.argument("table", type=_PATH)
@click.option("--measure", required=True, metavar="COLUMN", help="Column of TABLE to fit.")
@click.option("-o", "--output", required=True, type=_PATH, help=".npz file of the direction.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the folds."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def command(
    latents: Path, table: Path, measure: str, output: Path, seed: int, overwrite: bool
) -> None:
    """Fit COLUMN of TABLE (a CSV with a column subject) by the LATENTS that `encode` wrote.

    Ridge regression; the R² shown is that of held-out patients (5 folds, by the column
    patient or the subjects' names). At 0 or less the direction is meaningless.
    """
    from hagan_clinic.imageio.output_guard import check_output

    check_output(output, (latents, table), overwrite=overwrite, suffixes=(".npz",))
    import numpy as np

    from hagan_clinic.data.subject import patient_of
    from hagan_clinic.data.tables import read_table
    from hagan_clinic.runtime.exploration import Direction, fit_ridge, write_direction
    from hagan_clinic.runtime.latents import read_latents

    found = read_latents(latents)
    if not table.is_file():
        raise InputError(f"{table}: no such file; `hagan-clinic latent measure` writes one")
    rows = _by_subject(table, read_table(table, ("subject", measure)), found.names)
    values = np.array([_number(table, name, measure, rows[name][measure]) for name in found.names])
    patients = [rows[name].get("patient") or patient_of(name) for name in found.names]
    fit = fit_ridge(found.latents, values, patients, seed=seed)
    direction = Direction(
        identity=found.identity,
        measure=measure,
        coefficients=fit.coefficients,
        intercept=fit.intercept,
        r2=fit.r2,
        mean=float(values.mean()),
        std=float(values.std(ddof=1)),
    )
    write_direction(direction, output)
    note(
        f"wrote {output}: {measure} of {len(values)} subjects ({len(set(patients))} patients), "
        f"{direction.mean:.4g} ± {direction.std:.2g}"
    )
    say(f"held-out R² {fit.r2:.3f}, by patient")
    if direction.means_nothing:
        say(
            f"warning: a held-out R² of {fit.r2:.3f} is no better than the mean: this direction "
            "means nothing",
            err=True,
        )


def _by_subject(
    table: Path, rows: Sequence[Mapping[str, str]], names: Sequence[str]
) -> dict[str, Mapping[str, str]]:
    """The rows by subject; exactly those that have latents."""
    by_subject: dict[str, Mapping[str, str]] = {}
    for row in rows:
        if row["subject"] in by_subject:
            raise InputError(f"{table}: the subject {row['subject']} comes twice; expected it once")
        by_subject[row["subject"]] = row
    if missing := [name for name in names if name not in by_subject]:
        raise InputError(
            f"{table} lacks {len(missing)} of the {len(names)} subjects with latents: "
            f"{some(missing)}; measure them too, or encode only the others"
        )
    if unknown := sorted(set(by_subject) - set(names)):
        raise InputError(
            f"{table} names {len(unknown)} subjects without latents: {some(unknown)}; encode them "
            "too, or take them out"
        )
    return by_subject


def _number(table: Path, subject: str, measure: str, text: str) -> float:
    """A measurement.

    Raises:
        InputError: It is missing or no finite number.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        found = repr(text) if text else "no value"
        raise InputError(f"{table}: {subject} has {found} in {measure}, expected a finite number")
    return value
