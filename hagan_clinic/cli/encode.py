"""`hagan-clinic encode`: scans to latents."""

from __future__ import annotations

from pathlib import Path

import click

from hagan_clinic.cli.options import device_option
from hagan_clinic.cli.printing import say

_EXAMPLE = """\b
Example:
  hagan-clinic encode runs/unconditional cohort.csv -o latents.npz
"""
_PATH = click.Path(path_type=Path)


@click.command(epilog=_EXAMPLE)
@click.argument("model", type=_PATH)
@click.argument("volumes", nargs=-1, required=True, type=_PATH)
@click.option("-o", "--output", required=True, type=_PATH, help=".npz or .csv file.")
@click.option("--mask", type=_PATH, help="Brain mask on the grid of every scan.")
@device_option
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors and warnings only.")
def command(
    model: Path,
    volumes: tuple[Path, ...],
    output: Path,
    mask: Path | None,
    device: str,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Encode scans with the encoder MODEL: a run folder, or a .onnx file of one.

    VOLUMES are scans, cohort folders and CSVs; all are checked before the first is encoded. The
    latents are written with the subjects' names. A volume goes through the network slab by slab.
    """
    from hagan_clinic.api.generators import load_encoder
    from hagan_clinic.api.scans import check_scans, encode_scans, find_scans
    from hagan_clinic.imageio.output_guard import check_output
    from hagan_clinic.runtime.latents import SUFFIXES, Latents, write_latents

    check_output(output, volumes, overwrite=overwrite, suffixes=SUFFIXES)
    encoder = load_encoder(model, device)
    scans = find_scans(volumes, encoder, mask)
    for warning in check_scans(encoder, scans, quiet=quiet):
        say(f"warning: {warning}", err=True)
    rows, warnings = encode_scans(encoder, scans, quiet=quiet)
    for warning in warnings:
        say(f"warning: {warning}", err=True)
    names = tuple(scan.name for scan in scans)
    labels = tuple(scan.label for scan in scans) if encoder.classes else ()
    write_latents(Latents(rows, names, encoder.identity, encoder.image, labels), output)
    if not quiet:
        say(f"wrote {output}: {len(scans)} latents of length {encoder.latent}")
