"""`hagan-clinic doctor`: what this machine can run, and why not."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from hagan_clinic.cli.printing import say, show_table


@click.command(short_help="Check what this machine can run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Try every device and model: what works, what does not, and what to do.

    The exit code is 0 if `translate` works on the CPU and there is one ONNX Runtime, not two.
    """
    from hagan_clinic.runtime.diagnosis import diagnose

    findings = list(diagnose())
    if as_json:
        say(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        from rich.text import Text

        rows = []
        for finding in findings:
            word, style = {True: ("yes", "green"), False: ("no", "yellow"), None: ("", "")}[
                finding.works
            ]
            if finding.works is False and finding.needed:
                style = "red"
            rows.append((finding.subject, Text(word, style), finding.detail))
        show_table(("", "works", "detail"), rows)
    broken = [finding for finding in findings if finding.needed and finding.works is False]
    for finding in broken:
        say(f"error: {finding.subject}: {finding.detail}", err=True)
    if broken:
        context.exit(broken[0].exit_code)
