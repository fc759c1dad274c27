"""`epure models`."""

from __future__ import annotations

from typing import Annotated

import typer

from epurecli.cli import console


def models(json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False) -> None:
    """List the models, what each is good at, their modes and their shipped configs."""
    from epurecli.config import shipped
    from epurecli.models.registry import REGISTRY, model_class

    rows = []
    for name, entry in REGISTRY.items():
        modes = sorted(m.value for m in model_class(name).modes)
        rows.append(
            {
                "model": name,
                "title": entry.title,
                "good_at": entry.good_at,
                "modes": modes,
                "configs": [c for c in sorted(shipped()) if c.startswith(f"{name}_")],
            }
        )
    if json:
        console.say_json(rows)
        return
    shown = [
        (row["model"], row["title"], row["good_at"], "\n".join(row["modes"]), "\n".join(row["configs"])) for row in rows
    ]
    heads = ("model", "what it is", "good at", "modes", "configs")
    console.show_table(heads, shown, prose=("what it is", "good at"))
    console.note("good at: on the public tyres, after minutes on two cores (docs/experiments.md)")
