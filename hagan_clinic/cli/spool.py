"""`hagan-clinic spool`: what the node holds, and what it failed at."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hagan_clinic.cli.lazy_group import NearGroup
from hagan_clinic.cli.printing import say, show_table

if TYPE_CHECKING:
    from hagan_clinic.node.job import Job
    from hagan_clinic.node.spool import Spool

_spool_option = click.option(
    "--spool", "folder", type=click.Path(path_type=Path), required=True, help="The node's folder."
)


@click.group(cls=NearGroup, short_help="Show, retry and purge what the DICOM node holds.")
def command() -> None:
    """Show, retry and purge what the DICOM node holds; the node may run meanwhile.

    Run by root, it acts as the spool's owner, so that the node can use what it leaves.
    """


@command.command()
@_spool_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(folder: Path, as_json: bool) -> None:
    """List the series with their states, and the reasons of those that were not sent.

    A series is named by a hash; a reason may quote the description of the series.
    """
    from hagan_clinic.node.spool import STATES

    spool = _existing(folder)
    facts = [_facts(job) for state in STATES for job in spool.jobs(state)]
    if as_json:
        say(json.dumps(facts, indent=2))
        return
    rows = [
        (
            *(fact["series"], fact["state"], fact["outcome"], str(fact["instances"])),
            f"{fact['age_seconds'] / 60:.0f} min",
            *(str(fact["attempts"]), fact["reason"]),
        )
        for fact in facts
    ]
    show_table(("series", "state", "outcome", "files", "age", "tries", "reason"), rows)


@command.command()
@click.argument("name", required=False)
@_spool_option
@click.option("--all-failed", is_flag=True, help="Every failed series, once its cause is fixed.")
@click.option("--accept-warnings", is_flag=True, help="Send it although the input checks warn.")
def retry(name: str | None, folder: Path, all_failed: bool, accept_warnings: bool) -> None:
    """Translate and send a failed, skipped or done series again.

    NAME is the series' name or the beginning of it. The result has the same UIDs again, unless a
    rejection note was sent about it: then it is another series.
    """
    _require_one(name, all_failed)
    if all_failed and accept_warnings:
        raise click.UsageError("--accept-warnings is for one series that somebody has looked at.")
    spool = _existing(folder)
    names = [name] if name else [job.name for job in spool.jobs("failed")]
    for one in names:
        job = spool.retry(one, accept_warnings=accept_warnings)
        say(f"{job.name} is ready again")
    if all_failed:
        say(f"{len(names)} series are ready again")


@command.command()
@click.argument("name")
@_spool_option
def release(name: str, folder: Path) -> None:
    """Treat an incoming series as complete now, also if it is held back as incomplete.

    NAME is the series' name, the beginning of it, or its Series Instance UID.
    """
    job = _existing(folder).release(name)
    say(f"{job.name} is released")


@command.command()
@click.argument("name", required=False)
@_spool_option
@click.option("--all-failed", is_flag=True, help="Every failed series.")
def purge(name: str | None, folder: Path, all_failed: bool) -> None:
    """Delete a series that is finished, unsent or held back, with all received images."""
    from hagan_clinic.node.spool import ENDED

    _require_one(name, all_failed)
    spool = _existing(folder)
    jobs = spool.jobs("failed")
    if name:
        jobs = [spool.find(name, (*ENDED, "outbox", "incoming"))]
    for job in jobs:
        _purge(spool, job)
    say(f"{len(jobs)} series deleted")


def _require_one(name: str | None, all_failed: bool) -> None:
    if bool(name) == all_failed:
        raise click.UsageError("Give a NAME or --all-failed, one of the two.")


def _purge(spool: Spool, job: Job) -> None:
    from hagan_clinic.errors import InputError

    try:
        spool.purge(job)
    except ValueError as error:
        raise InputError(f"{job.name} is not deleted: {error}; release it, or wait") from error


def _existing(folder: Path) -> Spool:
    """The spool that a node has made there; none is made."""
    from hagan_clinic.errors import InputError
    from hagan_clinic.node.spool import Spool

    if not (folder / "incoming").is_dir():
        raise InputError(
            f"{folder} is not a spool of the node; give the folder of `listen --spool`"
        )
    _act_as_owner(folder)
    return Spool(folder)


def _act_as_owner(folder: Path) -> None:
    """Let root be the owner of a folder from now on, as to the rights on files."""
    owner = folder.stat()
    if os.name == "posix" and os.geteuid() == 0 != owner.st_uid:
        os.setgroups([])
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)


def _facts(job: Job) -> dict[str, Any]:
    from hagan_clinic.node.job import DamagedError

    try:
        record = job.record()
    except DamagedError as error:
        record = {"reason": str(error)}
    try:
        instances, changed = sum(1 for _ in job.source.iterdir()), job.changed()
    except OSError as error:
        instances, changed = 0, time.time()
        record["reason"] = f"what was received cannot be read ({error.strerror})"
    return {
        "series": job.name,
        "state": job.state,
        "outcome": record.get("outcome", ""),
        "instances": instances,
        "age_seconds": round(time.time() - changed, 1),
        "attempts": record.get("attempts", 0),
        "reason": record.get("reason") or record.get("last", ""),
    }
