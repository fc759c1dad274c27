"""`epure count-params`."""

from __future__ import annotations

from typing import Annotated

import typer

from epurecli.cli import console


def count_params(
    models: Annotated[list[str] | None, typer.Argument(help="Models to count (default: all).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Count parameters of every shipped config of a model, beside what the plan claims."""
    from epurecli.models.counting import count_shipped
    from epurecli.models.registry import ROOMS, room_of

    names = models or list(ROOMS)
    for name in names:
        room_of(name)
    counts = count_shipped(names)
    if json:
        console.say_json([c.to_dict() for c in counts])
        return
    from rich.table import Table

    table = Table("config", "total", "trainable", "frozen", "planned", "met")
    table.columns[0].no_wrap = True
    for column in table.columns[1:4]:
        column.justify = "right"
    for c in counts:
        met = "-" if c.met is None else "yes" if c.met else "no"
        table.add_row(c.config, f"{c.total:,}", f"{c.trainable:,}", f"{c.frozen:,}", c.claim or "-", met)
    console.out.print(table)
