"""`hagan-clinic bids`: translate a BIDS data set as a BIDS App, which cohort engines call."""

from __future__ import annotations

from pathlib import Path

import click

from hagan_clinic.cli.options import device_option

_FOLDER = click.Path(path_type=Path, readable=False)


@click.command(context_settings={"allow_extra_args": True})
@click.argument("dataset", metavar="BIDS", type=_FOLDER)
@click.argument("output", metavar="OUTPUT", type=_FOLDER)
@click.argument("level", metavar="LEVEL", type=click.Choice(["participant"]))
@click.option(
    "--participant-label",
    "--participant_label",
    "labels",
    multiple=True,
    metavar="LABEL...",
    help="The participants to translate, with or without sub-.  [default: all]",
)
@click.option("--uncertainty", is_flag=True, help="Write the half-width of the 90 % interval too.")
@click.option(
    "--model", default="t1_to_flair", show_default=True, help="Name of a bundled model, or a file."
)
@device_option
@click.option("--max-memory", metavar="SIZE", help="Limit on added memory, such as 1GiB.")
@click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads.  [default: all usable cores]"
)
@click.option("--allow-contrast", is_flag=True, help="Accept scans that look contrast-enhanced.")
@click.option("--overwrite", is_flag=True, help="Replace results of other scans.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def command(
    context: click.Context,
    /,
    dataset: Path,
    output: Path,
    level: str,
    labels: tuple[str, ...],
    uncertainty: bool,
    model: str,
    device: str,
    max_memory: str | None,
    threads: int | None,
    allow_contrast: bool,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Translate the BIDS data set BIDS to the derivative OUTPUT; LEVEL is `participant`.

    The same as `translate BIDS -o OUTPUT --skip-existing`, in the form of a BIDS App: results that
    are there are kept. Processes of several participants may share OUTPUT and its results.csv.
    """
    from hagan_clinic.cli.translate import command as translate
    from hagan_clinic.errors import InputError

    if context.args and not labels:
        raise click.UsageError(f"{' '.join(context.args)}: is not an option; see --help")
    if not (dataset / "dataset_description.json").is_file():
        raise InputError(
            f"{dataset} holds no dataset_description.json, expected a BIDS data set; other cohorts "
            "are for `translate`"
        )
    context.invoke(
        translate,
        inputs=(dataset,),
        output=output,
        # An App's labels may follow one option: --participant-label 01 02.
        participants=[label.removeprefix("sub-") for label in (*labels, *context.args)],
        uncertainty=output if uncertainty else None,
        model=model,
        device=device,
        max_memory=max_memory,
        threads=threads,
        allow_contrast=allow_contrast,
        skip_existing=True,
        overwrite=overwrite,
        quiet=quiet,
    )
