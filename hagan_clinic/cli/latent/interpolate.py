"""`hagan-clinic latent interpolate`: synthetic volumes between two subjects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hagan_clinic.cli.latent.making import (
    class_of,
    fitting_latents,
    latent_of,
    made,
    making_options,
)

_PATH = click.Path(path_type=Path)


@click.command(short_help="Make volumes between two subjects.")
@click.argument("model", type=_PATH)
@click.argument("latents", type=_PATH)
@click.argument("subject_a")
@click.argument("subject_b")
@making_options
def command(
    model: Path,
    latents: Path,
    subject_a: str,
    subject_b: str,
    steps: int,
    chosen: str | None,
    **options: Any,
) -> None:
    """Make synthetic volumes from SUBJECT_A to SUBJECT_B of LATENTS with the generator MODEL.

    Spherical interpolation: the latents keep their distance from the origin. Writes a series of
    NIfTI files, a montage, an animated GIF and a table.
    """
    import numpy as np

    from hagan_clinic.api.generators import load_generator
    from hagan_clinic.runtime.exploration import spherical_path
    from hagan_clinic.runtime.exploration.series import VolumeSeries

    generator = load_generator(model, options["device"])
    found = fitting_latents(latents, generator)
    (first, one), (last, other) = (
        latent_of(found, subject, latents) for subject in (subject_a, subject_b)
    )
    shares = np.linspace(0, 1, steps)
    series = VolumeSeries(
        name="interpolation",
        title=f"from {subject_a} to {subject_b}",
        latents=spherical_path(first, last, steps),
        column="share",
        values=shares,
        captions=[f"{share:.0%} of the way" for share in shares],
        label=class_of(generator, chosen, one, other),
        sources={"from": subject_a, "to": subject_b},
    )
    made(series, generator, **options)
