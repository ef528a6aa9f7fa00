"""`hagan-clinic reconstruct`: scans to latents and back, and how much came back."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import click

from hagan_clinic.cli.options import device_option
from hagan_clinic.cli.printing import say
from hagan_clinic.errors import InputError

if TYPE_CHECKING:
    from hagan_clinic.api.scans import ScanFile
    from hagan_clinic.runtime.synthesis import Generator

METRICS = ("psnr", "ssim", "l1")

_EXAMPLE = """\b
Examples:
  hagan-clinic reconstruct runs/unconditional t1.nii.gz --mask brain.nii.gz -o back
  hagan-clinic reconstruct --generator G.onnx --encoder E.onnx cohort.csv -o back
"""
_PATH = click.Path(path_type=Path)


@click.command(epilog=_EXAMPLE)
@click.argument("inputs", nargs=-1, required=True, type=_PATH, metavar="[RUN] VOLUMES...")
@click.option("-o", "--output", required=True, type=_PATH, help="Folder.")
@click.option("--generator", "generator_file", type=_PATH, help=".onnx file, in place of RUN.")
@click.option("--encoder", "encoder_file", type=_PATH, help=".onnx file, in place of RUN.")
@click.option("--mask", type=_PATH, help="Brain mask on the grid of every scan.")
@click.option(
    "--label", help="Class of all volumes, for a model with classes; default the cohort's."
)
@click.option("--montage", is_flag=True, help="Write montage.png: scans beside reconstructions.")
@device_option
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors and warnings only.")
def command(
    inputs: tuple[Path, ...],
    output: Path,
    generator_file: Path | None,
    encoder_file: Path | None,
    mask: Path | None,
    label: str | None,
    montage: bool,
    device: str,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Encode and reconstruct scans, and measure the loss.

    VOLUMES are scans, cohort folders and CSVs; all are checked before the first is encoded. A
    reconstruction lies in the training box, around the brain of its scan. metrics.csv and
    metrics.json have PSNR, SSIM and mean absolute error of each, in the brain if there is a
    mask, otherwise in the box, and the means of each region.
    """
    if (generator_file is None) != (encoder_file is None):
        raise click.UsageError("Give both --generator and --encoder, or a run folder first.")
    if generator_file is None or encoder_file is None:
        generator_file = encoder_file = inputs[0]
        inputs = inputs[1:]
    if not inputs:
        raise click.UsageError("Give the scans after the run folder.")

    from hagan_clinic.api.generators import check_class, load_encoder, load_generator
    from hagan_clinic.api.scans import check_scans, find_scans
    from hagan_clinic.api.synthesis import check_pair, reconstruct_with
    from hagan_clinic.progress import counted
    from hagan_clinic.runtime.exploration import pictures
    from hagan_clinic.runtime.outputs import write_json
    from hagan_clinic.runtime.provenance import REMINDER
    from hagan_clinic.runtime.synthesis_outputs import (
        OutputFolder,
        model_facts,
        synthetic_sidecar,
        write_synthetic,
    )

    encoder = load_encoder(encoder_file, device)
    generator = load_generator(generator_file, device)
    check_pair(generator, encoder)
    check_class(generator, label)
    scans = find_scans(inputs, encoder, mask)
    labels = [_label(generator, scan, label) for scan in scans]
    others = ["metrics.csv", "metrics.json", *(["montage.png"] if montage else [])]
    volumes = [f"{scan.name}_reconstruction.nii.gz" for scan in scans]
    files = OutputFolder(output, volumes, others, overwrite=overwrite)
    for warning in check_scans(encoder, scans, quiet=quiet):
        say(f"warning: {warning}", err=True)

    facts = generator.facts
    rows: list[dict[str, Any]] = []
    steps = []
    with counted("reconstructing", len(scans), quiet=quiet) as step, files.writing() as place:
        for scan, chosen, path in zip(scans, labels, files.volumes, strict=True):
            found = reconstruct_with(generator, encoder, scan.path, mask=scan.mask, label=chosen)
            for warning in found.warnings:
                say(f"warning: {scan.name}: {warning}", err=True)
            measured = {name: getattr(found, name) for name in METRICS}
            rows.append({"subject": scan.name, "region": found.region, **measured})
            sidecar = synthetic_sidecar(
                facts, f"{facts.image} reconstructed from its latent", source=scan.path.name
            )
            write_synthetic(found.volume.array, found.volume.grid, path, place, sidecar)
            if montage:
                caption = f"PSNR {rows[-1]['psnr']:.1f} dB, SSIM {rows[-1]['ssim']:.2f}"
                pair = (
                    (found.scan, (scan.name, "scan")),
                    (found.volume, ("reconstruction", caption)),
                )
                for volume, captions in pair:
                    steps.append(pictures.Step(pictures.middle_planes(volume.array), captions))
            step()
        means = _means(rows)
        place[files.others[0]].write_text(_table(rows, means), "utf-8")
        table = {"model": model_facts(facts), "subjects": rows, "mean": means}
        write_json(table, place[files.others[1]])
        if montage:
            title = f"{facts.image}: each scan with its reconstruction"
            picture = pictures.draw_montage(steps, title, facts.credit)
            pictures.save_montage(picture, place[files.others[2]], title)
    if not quiet:
        say(f"wrote {output}: {len(scans)} reconstructions, {', '.join(others)}")
        for region, mean in means.items():
            values = "  ".join(f"{name} {value:.4g}" for name, value in mean.items())
            say(f"mean in the {region}: {values}")
        say(REMINDER)


def _label(generator: Generator, scan: ScanFile, label: str | None) -> str:
    """The class that a scan is made again with; empty for a model without classes."""
    if not generator.classes:
        return ""
    chosen = label or scan.label
    if chosen not in generator.classes:
        found = f"has the class {chosen!r}" if chosen else "has no class"
        raise InputError(
            f"{scan.name} {found}: expected one of {', '.join(generator.classes)}, with --label or "
            f"in the column {generator.facts.label!r} of a CSV"
        )
    return chosen


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Region -> mean of each metric there: those of brain and box do not compare."""
    regions = dict.fromkeys(row["region"] for row in rows)
    return {
        region: {
            name: fmean(row[name] for row in rows if row["region"] == region) for name in METRICS
        }
        for region in regions
    }


def _table(rows: Sequence[Mapping[str, Any]], means: Mapping[str, Mapping[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["subject", "region", *METRICS])
    last = [{"subject": "mean", "region": region, **mean} for region, mean in means.items()]
    for row in [*rows, *last]:
        values = [f"{row[name]:.6g}" for name in METRICS]
        writer.writerow([row["subject"], row["region"], *values])
    return text.getvalue()
