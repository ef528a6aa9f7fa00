"""``hagan-clinic import-weights``: the weights that HA-GAN's authors released, as a run folder."""

from pathlib import Path

import click

from hagan_clinic.cli.printing import note

UNKNOWN_SPACING = 1.0

_FILE = click.Path(path_type=Path)


@click.command(short_help="Turn the authors' released weights into a run folder.")
@click.argument("generator", metavar="G.pth", type=_FILE)
@click.argument("discriminator", metavar="D.pth", type=_FILE)
@click.argument("encoder", metavar="E.pth", type=_FILE)
@click.argument("sub_encoder", metavar="Sub_E.pth", type=_FILE)
@click.option("-o", "--output", required=True, type=_FILE, help="Run folder to make.")
@click.option("--image", default="t1", show_default=True, help="What the volumes show: t1, or ct.")
@click.option("--spacing", type=float, help="Voxel size in mm; not stated in the files.")
def command(
    generator: Path,
    discriminator: Path,
    encoder: Path,
    sub_encoder: Path,
    output: Path,
    image: str,
    spacing: float | None,
) -> None:
    """Read the four files that the authors of HA-GAN released for 128 or 256 cubed volumes.

    Only tensors are read from them, and no code in them runs. The run folder can be sampled from,
    used to encode, exported and fine-tuned (train --init) like one that was trained here.
    """
    from hagan_clinic.errors import OutputError

    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise OutputError(f"{output} exists and is not empty: give a new folder")
    from hagan_clinic.unconditional.imported import write_released_run
    from hagan_clinic.unconditional.released import read_released

    released = read_released(generator, discriminator, encoder, sub_encoder)
    write_released_run(
        released, output, image=image, spacing=UNKNOWN_SPACING if spacing is None else spacing
    )
    sizes = released.model.config
    parameters = sum(parameter.numel() for parameter in released.model.parameters())
    note(
        f"{output}: HA-GAN for {'x'.join(map(str, sizes.size))} voxels, z of {sizes.latent}, "
        f"{sizes.classes or 'no'} classes, {parameters:,} parameters"
    )
    if spacing is None:
        note(
            f"note: the files do not state the voxel size; {UNKNOWN_SPACING:g} mm is assumed: give "
            "--spacing if you know it"
        )
    note(
        "note: the files do not state the orientation; the axes are taken as this toolkit's: "
        "inferior to superior, posterior to anterior, left to right"
    )
    note(f"next: hagan-clinic sample {output} -o samples")
