"""``hagan-clinic export``: a trained run as one ONNX file."""

from pathlib import Path

import click

from hagan_clinic.cli.printing import note, say


@click.command(short_help="Write a trained run as one ONNX file.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help=".onnx file.")
@click.option(
    "--part",
    type=click.Choice(["generator", "encoder"]),
    help="Which part of an unconditional run; each becomes its own file.",
)
@click.option(
    "--half", is_flag=True, help="Store weights in fp16: half the size; it computes in float32."
)
@click.option(
    "--card",
    type=click.Path(path_type=Path),
    help="TOML file with the card: name, licence, version, description, training_data, "
    "intended_use, failures, [metrics].",
)
@click.option(
    "--check",
    "images",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A real source image to check the file with, once per sequence; default a calibration "
    "patient's, if the cohort has not been moved. Random input is always checked.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def command(
    run: Path,
    output: Path,
    part: str | None,
    half: bool,
    card: Path | None,
    images: tuple[Path, ...],
    overwrite: bool,
) -> None:
    """Export the best checkpoint of the run folder RUN to ONNX, checked against torch."""
    from hagan_clinic.api.exporting import export

    exported = export(
        run, output, part=part, half=half, card=card, images=images, overwrite=overwrite
    )
    note(
        f"{exported.path}: {exported.parameters:,} parameters, "
        f"{exported.path.stat().st_size / 2**20:.1f} MiB; equal to torch within "
        f"{exported.difference:.1g} on {' and '.join(exported.checked)} input"
    )
    # Random latents are all that a generator ever takes.
    if "real" not in exported.checked and part != "generator":
        say(
            "warning: checked on random input alone, as the run's calibration images are no longer "
            "where they were: give --check IMAGE to check it on a scan",
            err=True,
        )
