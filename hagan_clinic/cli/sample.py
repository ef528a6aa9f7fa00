"""`hagan-clinic sample`: synthetic volumes from random latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hagan_clinic.cli.options import device_option
from hagan_clinic.cli.printing import say

_EXAMPLE = """\b
Example:
  hagan-clinic sample runs/unconditional -o samples -n 8 --montage
"""


@click.command(epilog=_EXAMPLE)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder.")
@click.option(
    "-n", "--count", type=click.IntRange(min=1), default=8, show_default=True, help="Volumes."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--truncation",
    type=click.FloatRange(min=0.01),
    metavar="T",
    help="Draw values of z beyond ±T again: lower is more typical and less diverse.",
)
@click.option(
    "--label", help="Class of all volumes, for a model with classes; default each class in turn."
)
@click.option("--montage", is_flag=True, help="Write montage.png, a picture of all volumes.")
@device_option
@click.option(
    "--max-memory",
    metavar="SIZE",
    help="Limit on the memory of a .onnx file's network, such as 1GiB; it then runs slab by slab.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(
    model: Path,
    output: Path,
    count: int,
    seed: int,
    truncation: float | None,
    label: str | None,
    montage: bool,
    device: str,
    max_memory: str | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Synthesise volumes with the generator MODEL: a run folder, or a .onnx file of one.

    Writes sample_0001.nii.gz and so on, on the training grid, each with a JSON file beside it, and
    latents.npz with their latents. A sample depends only on the seed and its number.
    """
    if max_memory is not None and model.is_dir():
        raise click.UsageError(
            "--max-memory holds for .onnx files, and MODEL is a run folder: export its generator."
        )
    from hagan_clinic.api.generators import load_generator
    from hagan_clinic.api.synthesis import draw
    from hagan_clinic.progress import counted
    from hagan_clinic.runtime.exploration import pictures
    from hagan_clinic.runtime.latents import write_latents
    from hagan_clinic.runtime.provenance import REMINDER, licence_in_words
    from hagan_clinic.runtime.synthesis_outputs import (
        OutputFolder,
        synthetic_sidecar,
        write_synthetic,
    )

    names = [f"sample_{number:04d}" for number in range(1, count + 1)]
    files = OutputFolder(
        output,
        [f"{name}.nii.gz" for name in names],
        ["latents.npz", *(["montage.png"] if montage else [])],
        overwrite=overwrite,
        series="sample_*.nii.gz",
    )
    generator = load_generator(model, device, max_memory=max_memory)
    facts = generator.facts
    latents, images = draw(generator, count, seed, truncation=truncation, label=label)
    labels = latents.labels
    drawn = {"seed": seed, "truncation": truncation}
    steps = []
    with counted("synthesising", count, quiet=quiet) as step, files.writing() as place:
        for number, (path, image) in enumerate(zip(files.volumes, images, strict=True)):
            made_from: dict[str, Any] = {"number": number + 1, **drawn}
            if labels:
                made_from["label"] = labels[number]
            content = f"{facts.image} synthesised from noise, no patient's image"
            sidecar = synthetic_sidecar(facts, content, latent=made_from)
            write_synthetic(image, generator.grid, path, place, sidecar)
            captions = (names[number], *labels[number : number + 1])
            if montage:
                steps.append(pictures.Step(pictures.middle_planes(image), captions))
            step()
        write_latents(latents, place[files.others[0]])
        if montage:
            title = f"{count} samples of {facts.image}, seed {seed}"
            title += "" if truncation is None else f", truncation {truncation:g}"
            picture = pictures.draw_montage(steps, title, facts.credit)
            pictures.save_montage(picture, place[files.others[1]], title)
    if not quiet:
        others = " and ".join(path.name for path in files.others)
        say(f"wrote {output}: {count} volumes of {generator.grid}, {others}")
        say(f"Weights: {licence_in_words(facts.licence)}")
        say(REMINDER)
