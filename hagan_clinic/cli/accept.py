"""`hagan-clinic accept`: does the installed model give on this machine what it should?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hagan_clinic.cli.options import device_option
from hagan_clinic.cli.printing import note, say, show_table

if TYPE_CHECKING:
    from hagan_clinic.runtime.acceptance import Acceptance

_EXAMPLE = """\b
Example:
  hagan-clinic accept --device cuda -o acceptance.md
"""
_PATH = click.Path(path_type=Path)


@click.command(epilog=_EXAMPLE, short_help="Check an installation against the model's reference.")
@click.argument("model", default="t1_to_flair")
@device_option
@click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads.  [default: all usable cores]"
)
@click.option("-o", "--output", type=_PATH, help="Where to write a report to sign (.md).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--record",
    "scans",
    multiple=True,
    metavar="NAME=FILE",
    help="Make the reference of your own model from a scan that may be distributed with it.",
)
@click.option("--overwrite", is_flag=True, help="Replace a report or a reference that exists.")
@click.pass_context
def command(
    context: click.Context,
    model: str,
    device: str,
    threads: int | None,
    output: Path | None,
    as_json: bool,
    scans: tuple[str, ...],
    overwrite: bool,
) -> None:
    """Translate the reference scan of MODEL, a name or a .onnx file, and compare with its release.

    The scan and the expected result lie in the folder `acceptance` beside the model. The check
    passes if the weights are those of the release, no voxel differs by more than one of 255 grey
    levels, and the mean difference is below a tenth of one. The exit code is 4 if it fails.
    """
    if scans:
        _record(model, scans, device, overwrite=overwrite)
        return
    from hagan_clinic.imageio import write_text
    from hagan_clinic.imageio.output_guard import check_output
    from hagan_clinic.runtime.acceptance import accept

    if output is not None:
        check_output(output, overwrite=overwrite)
    outcome = accept(model, device, threads=threads)
    facts = _facts(outcome)
    if output is not None:
        write_text(_report(facts), output)
    if as_json:
        say(json.dumps(facts, indent=2))
    else:
        _print(outcome, facts)
        if output is not None:
            note(f"wrote {output}")
    if not outcome.passed:
        say(f"error: {facts['reason']}", err=True)
        context.exit(4)


def _record(model: str, scans: tuple[str, ...], device: str, *, overwrite: bool) -> None:
    from hagan_clinic.runtime.acceptance import record

    named = dict(scan.partition("=")[::2] for scan in scans)
    if "" in named.values():
        raise click.UsageError("--record takes NAME=FILE, such as t1=t1.nii.gz.")
    folder = record(
        model, {name: Path(file) for name, file in named.items()}, device, overwrite=overwrite
    )
    note(f"wrote {folder}: `hagan-clinic accept {model}` compares with it")


def _facts(outcome: Acceptance) -> dict[str, Any]:
    from datetime import UTC, datetime

    from hagan_clinic.runtime.acceptance import LARGEST, MEAN

    report = outcome.report
    return {
        "verdict": "pass" if outcome.passed else "fail",
        "reason": _reason(outcome),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": report["model"],
        "expected": dict(outcome.recorded),
        "device": report["device"],
        "machine": report["machine"],
        "versions": report["versions"],
        "seconds": report["seconds"]["total"],
        "limits": {"largest": LARGEST, "mean": MEAN},
        "comparisons": [
            {
                "output": one.subject,
                "voxels": one.voxels,
                "largest": one.largest,
                "mean": one.mean,
                "passed": one.passed,
            }
            for one in outcome.comparisons
        ],
    }


def _reason(outcome: Acceptance) -> str:
    """Why the check failed; empty if it did not."""
    if not outcome.same_model:
        return (
            f"the model's sha256 is {outcome.report['model']['sha256']}, expected "
            f"{outcome.recorded['model_sha256']}: other weights than those of the reference; "
            "install the package again"
        )
    failed = [one for one in outcome.comparisons if not one.passed]
    if not failed:
        return ""
    one = failed[0]
    return (
        f"{one.subject} differs from the reference by up to {one.largest:.2g} and {one.mean:.2g} "
        "on average: do not use this installation; try --device cpu, and `hagan-clinic doctor`"
    )


def _print(outcome: Acceptance, facts: dict[str, Any]) -> None:
    header = ("output", "voxels", "largest difference", "mean difference", "within limits")
    rows = [
        (
            *(one.subject, str(one.voxels), f"{one.largest:.2e}", f"{one.mean:.2e}"),
            "yes" if one.passed else "no",
        )
        for one in outcome.comparisons
    ]
    show_table(header, rows)
    ran = facts["device"]["ran"]
    say(f"{facts['verdict']}: {facts['model']['name']} on {ran}, {facts['seconds']:.1f} s")


def _report(facts: dict[str, Any]) -> str:
    """A page that a person can sign."""
    from hagan_clinic.runtime.provenance import NOTICE

    limits = facts["limits"]
    rows = [
        f"| {one['output']} | {one['voxels']} | {one['largest']:.3e} | {one['mean']:.3e} "
        f"| {'yes' if one['passed'] else 'NO'} |"
        for one in facts["comparisons"]
    ]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    device = facts["device"]
    lines = [
        "# Acceptance check",
        "",
        f"**{facts['verdict'].upper()}**" + (f": {facts['reason']}" if facts["reason"] else ""),
        "",
        "| | |",
        "|---|---|",
        f"| when | {facts['when']} |",
        f"| model | {facts['model']['name']} {facts['model']['version']} |",
        f"| sha256 | {facts['model']['sha256']} |",
        f"| sha256 of the reference | {facts['expected']['model_sha256']} |",
        f"| reference made by | hagan-clinic {facts['expected']['tool_version']} |",
        f"| device | {device['ran']} (asked for: {device['requested']}) |",
        f"| providers | {', '.join(device['providers'])} |",
        f"| machine | {facts['machine']['system']}, {facts['machine']['processor']} |",
        f"| versions | {versions} |",
        f"| seconds | {facts['seconds']:.1f} |",
        "",
        f"| output | voxels | largest difference (limit {limits['largest']:.3e}) "
        f"| mean difference (limit {limits['mean']:.3e}) | within limits |",
        "|---|---|---|---|---|",
        *rows,
        "",
        "Differences are absolute, on the output's scale from 0 to 1. The check shows that this "
        "installation computes what the release computed. It does not show that the model suits "
        f"your scanners and patients. {NOTICE}.",
        "",
        "| accepted by | date | signature |",
        "|---|---|---|",
        "| | | |",
    ]
    return "\n".join(lines) + "\n"
