"""`hagan-clinic latent map`: real and synthetic volumes as the encoder sees them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hagan_clinic.cli.options import device_option
from hagan_clinic.cli.printing import note, say
from hagan_clinic.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hagan_clinic.runtime.latents import Latents
    from hagan_clinic.runtime.synthesis import Encoder, Generator

_PATH = click.Path(path_type=Path)


@click.command(short_help="Plot real and synthetic volumes as the encoder sees them.")
@click.argument("model", type=_PATH)
@click.option(
    "--real", required=True, type=_PATH, help="Latents of real volumes (from encode), or a cohort."
)
@click.option("-o", "--output", required=True, type=_PATH, help=".png file.")
@click.option("--encoder", type=_PATH, help="Exported encoder, if MODEL is a .onnx file.")
@click.option(
    "--method", type=click.Choice(["mds", "pca", "tsne"]), default="mds", show_default=True
)
@click.option(
    "--samples", type=click.IntRange(min=1), help="Synthetic volumes.  [default: as many as real]"
)
@click.option("--mask", type=_PATH, help="One brain mask for all subjects of a cohort.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@device_option
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def command(
    model: Path,
    real: Path,
    output: Path,
    encoder: Path | None,
    method: str,
    samples: int | None,
    mask: Path | None,
    seed: int,
    device: str,
    overwrite: bool,
) -> None:
    """Plot the latents of real volumes and of encoded samples of MODEL in a plane.

    Each kind gets its 95 % covariance ellipse. The coordinates are written to a CSV of the same
    name.
    """
    from hagan_clinic.imageio.output_guard import check_output

    table = output.with_suffix(".csv")
    for path in (output, table):
        suffixes = (".png",) if path is output else (".csv",)
        check_output(path, (real, model), overwrite=overwrite, suffixes=suffixes)
    if mask is not None and not real.is_dir():
        raise click.UsageError("--mask goes with a cohort's folder as --real.")
    if model.suffix == ".onnx" and encoder is None:
        raise click.UsageError("a .onnx file holds one part: give the encoder with --encoder FILE")
    # First of all, as it needs the extra [train].
    from hagan_clinic.api.generators import load_encoder, load_generator
    from hagan_clinic.evaluation.embedding import draw_map, embed
    from hagan_clinic.runtime.outputs import all_or_none
    from hagan_clinic.runtime.provenance import NOTICE

    generator, encoding = load_generator(model, device), load_encoder(encoder or model, device)
    if generator.identity != encoding.identity:
        raise InputError(
            f"{encoder}: the encoder of another model (weights {encoding.identity[:12]}, the "
            f"generator's are {generator.identity[:12]}); give the one of the same run"
        )
    latents = _real(real, mask, encoding, samples)
    count = samples or len(latents.latents)
    encoded = _encoded_samples(generator, encoding, count, seed)
    plane = embed({"real": latents.latents, "synthetic": encoded}, method, seed)
    names = {"real": latents.names, "synthetic": [f"sample_{n:04d}" for n in range(1, count + 1)]}
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["name", "kind", "x", "y"])
    for kind, points in plane.items():
        rows.writerows(
            [name, kind, f"{x:.6g}", f"{y:.6g}"]
            for name, (x, y) in zip(names[kind], points, strict=True)
        )
    with all_or_none([output, table], overwrite=overwrite) as (picture, coordinates):
        title = f"{generator.image} as the encoder sees it ({method})"
        draw_map(plane, picture, title, f"{NOTICE}: synthetic volumes by {generator.name}")
        coordinates.write_text(text.getvalue(), "utf-8")
    note(f"wrote {output} and {table}: {len(latents.names)} real, {count} synthetic")


def _real(path: Path, mask: Path | None, encoder: Encoder, samples: int | None) -> Latents:
    """Latents from a file, or of the scans of a cohort.

    Raises:
        InputError: They, or the samples that are asked for, are too few for a map.
    """
    from hagan_clinic.api.scans import check_scans, encode_scans, find_scans
    from hagan_clinic.runtime.latents import SUFFIXES, Latents, read_latents

    if path.suffix == SUFFIXES[0] or (path.suffix in SUFFIXES and _is_latents(path)):
        latents = read_latents(path)
        latents.check_fits(encoder.identity, encoder.latent, str(path))
        _check_number(len(latents.names), samples)
        return latents
    scans = find_scans([path], encoder, mask)
    _check_number(len(scans), samples)
    of_masks = check_scans(encoder, scans)
    rows, warnings = encode_scans(encoder, scans)
    for warning in [*of_masks, *warnings]:
        say(f"warning: {warning}", err=True)
    names = tuple(scan.name for scan in scans)
    return Latents(rows, names, encoder.identity, encoder.image)


def _check_number(real: int, samples: int | None) -> None:
    """Refuse too few volumes before any is encoded."""
    from hagan_clinic.evaluation.embedding import check_numbers

    check_numbers({"real": real, "synthetic": samples or real})


def _is_latents(path: Path) -> bool:
    """Whether a CSV is one of latents, not of a cohort."""
    try:
        with path.open("rb") as file:
            return file.read(1) == b"#"
    except OSError:
        return False


def _encoded_samples(
    generator: Generator, encoder: Encoder, count: int, seed: int
) -> NDArray[np.float32]:
    """What the encoder makes of the generator's samples (count, latent), every class in turn."""
    import numpy as np

    from hagan_clinic.progress import counted
    from hagan_clinic.runtime.latents import draw_latents

    known = generator.classes
    labels = [known[number % len(known)] for number in range(count)] if known else None
    images = generator.decode(draw_latents(count, generator.latent, seed), labels)
    rows = []
    with counted("synthesising", count) as made:
        for image in images:
            # From [0, 1] to the network's scale.
            rows.append(encoder.encode(2 * image - 1))
            made()
    return np.stack(rows)
