"""`hagan-clinic models`: list, show and verify."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from hagan_clinic.cli.printing import cell, say, show_facts, show_table
from hagan_clinic.errors import HaganClinicError

if TYPE_CHECKING:
    from hagan_clinic.runtime import ModelFile


@click.command(short_help="List models, show their cards, verify them.")
@click.argument("name", required=False)
@click.option("--verify", is_flag=True, help="Compare every file with its published sha256.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, name: str | None, verify: bool, as_json: bool) -> None:
    """List the bundled models, or show the card of one (a NAME, or the path of a .onnx file).

    A model that cannot be used is listed with the reason, and the exit code is 4.
    """
    from hagan_clinic.runtime import bundled_models, find_model, load_model
    from hagan_clinic.runtime.library import verified

    read = verified if verify else partial(load_model, kind=None)
    if name is not None:
        model = read(find_model(name))
        if as_json:
            say(json.dumps(_facts(model, verify), indent=2))
        else:
            _print_card(model, verify)
        return

    models: dict[str, ModelFile] = {}
    failures: dict[str, HaganClinicError] = {}
    for bundled, path in bundled_models().items():
        try:
            models[bundled] = read(path)
        except HaganClinicError as error:
            failures[bundled] = error
    if as_json:
        broken = [{"name": key, "error": str(failure)} for key, failure in failures.items()]
        say(json.dumps([*(_facts(model, verify) for model in models.values()), *broken], indent=2))
    else:
        _print_list(models, verify)
    for failure in failures.values():
        say(f"error: {failure}", err=True)
    if failures:
        context.exit(next(iter(failures.values())).exit_code)


def _facts(model: ModelFile, verified: bool) -> dict[str, Any]:
    card = model.card
    return {
        "name": card.name,
        "kind": model.kind,
        "version": card.version,
        "description": card.description,
        "licence": card.licence,
        "sources": list(model.recipe.sources),
        "target": model.recipe.target,
        "spacing_mm": list(model.recipe.spacing),
        "training_data": card.training_data,
        "intended_use": card.intended_use,
        "failures": list(card.failures),
        "metrics": dict(card.metrics),
        "training": dict(model.training),
        "file": str(model.path),
        "bytes": len(model.content),
        "sha256": model.sha256,
        "verified": verified,
    }


def _print_list(models: Mapping[str, ModelFile], verified: bool) -> None:
    from hagan_clinic.runtime.provenance import licence_in_words

    if not models:
        say("No usable model in this installation.")
        return
    rows = []
    for name, model in models.items():
        recipe = model.recipe
        images = " + ".join(recipe.sources)
        cells = [
            name,
            f"{images} → {recipe.target}" if recipe.target else f"{images} from noise",
            " × ".join(f"{step:g}" for step in recipe.spacing) + " mm",
            f"{len(model.content) / 2**20:.1f} MiB",
            licence_in_words(model.card.licence),
        ]
        rows.append([*cells, "as published"] if verified else cells)
    header = ("model", "translates", "spacing", "size", "licence")
    show_table((*header, "sha256") if verified else header, rows)
    say("`hagan-clinic models NAME` shows a model's card.")


def _print_card(model: ModelFile, verified: bool) -> None:
    from hagan_clinic.runtime.provenance import licence_in_words

    facts = {**_facts(model, verified), "licence": licence_in_words(model.card.licence)}
    show_facts(
        (key.replace("_", " "), cell(_shown(value)))
        for key, value in facts.items()
        if value not in ("", {}, [])
    )


def _shown(value: Any, indent: str = "") -> str:
    """A value of a card as lines of text."""
    if isinstance(value, dict):
        lines = []
        for key, inner in value.items():
            value = _shown(inner, indent + "  ")
            lines.append(
                f"{indent}{key}:" + (f"\n{value}" if isinstance(inner, dict) else f" {value}")
            )
        return "\n".join(lines)
    if isinstance(value, list):
        parts = [_shown(inner) for inner in value]
        return ("\n" if any(" " in part for part in parts) else ", ").join(parts)
    if isinstance(value, bool):
        return "yes" if value else "no (--verify does it)"
    return str(value)
