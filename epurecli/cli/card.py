"""`epure card`."""

from __future__ import annotations

from typing import Annotated

import typer

from epurecli.cli import console
from epurecli.cli.completion import models_and_runs
from epurecli.cli.options import Device


def card(
    what: Annotated[
        str,
        typer.Argument(help="A run folder, or a model: its newest finished run.", autocompletion=models_and_runs),
    ],
    license: Annotated[
        str, typer.Option(help="Of the weights, as model hubs name it: apache-2.0, cc-by-4.0, ...")
    ] = "unknown",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier card.")] = False,
    device: Device = "auto",
) -> None:
    """Write README.md into a run folder: data, held-out figures with floors, limits, intended use; ready for a hub."""
    from epurecli.api.card import REPORT, check_card
    from epurecli.api.loading import load
    from epurecli.cli.progress import listening

    with listening() as listener:
        run = load(what, device=device, listener=listener)
        check_card(run.path, license, overwrite)
        console.note(run.summary)
        if not (run.path / REPORT).exists():
            console.note(
                f"no {REPORT}/ in the run folder yet: evaluating (epure evaluate --out makes one of other settings)"
            )
        path = run.card(license=license, overwrite=overwrite)
    console.say(f"card: {path}")
    console.note(f"figures: {path.parent / REPORT / 'report.json'}")
    if license == "unknown":
        console.note("state the licence of the weights before you publish them: --license apache-2.0 --overwrite")
