"""`epure count-params`."""

from __future__ import annotations

from typing import Annotated

import typer

from epurecli.cli import console
from epurecli.cli.completion import model_names

_MET = {None: "-", True: "yes", False: "no"}


def count_params(
    models: Annotated[
        list[str] | None, typer.Argument(help="Models to count (default: all).", autocompletion=model_names)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Count parameters of every shipped config of a model, beside what the plan claims."""
    from epurecli.models.counting import count_shipped
    from epurecli.models.registry import REGISTRY, entry_of

    names = models or list(REGISTRY)
    for name in names:
        entry_of(name)
    counts = count_shipped(names)
    if json:
        console.say_json([c.to_dict() for c in counts])
        return
    rows = [
        (c.config, f"{c.total:,}", f"{c.trainable:,}", f"{c.frozen:,}", c.claim or "-", _MET[c.met]) for c in counts
    ]
    heads = ("config", "total", "trainable", "frozen", "planned", "met")
    console.show_table(heads, rows, prose=("planned",), figures=heads[1:4])
