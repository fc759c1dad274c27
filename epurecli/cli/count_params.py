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
    """Count parameters of every shipped config of a model, beside what the plan claims and what the public code has.

    What sampling needs is trainable or frozen; a total above it counts what only training needs.
    """
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
        (
            *(c.config, f"{c.total:,}", f"{c.trainable:,}", f"{c.frozen:,}", f"{c.to_sample:,}"),
            *(c.claim or "-", _MET[c.met], "-" if c.public is None else f"{c.public:,}"),
        )
        for c in counts
    ]
    heads = ("config", "total", "trainable", "frozen", "to sample", "planned", "met", "public code")
    console.show_table(heads, rows, prose=("planned",), figures=(*heads[1:5], heads[-1]))
