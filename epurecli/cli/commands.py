"""Which commands there are. Each module defines one function and imports what it needs when it runs."""

from __future__ import annotations

import typer

from epurecli.cli import (
    card,
    compare,
    config,
    count_params,
    data,
    design,
    doctor,
    evaluate,
    explore,
    export,
    models,
    outline,
    sample,
    show,
    studio,
    train,
)


def register(app: typer.Typer) -> None:
    """Hang every command on the tree."""
    app.command("train")(train.train)
    app.command("sample")(sample.sample)
    app.command("design")(design.design)
    app.command("predict")(design.predict)
    app.command("export")(export.export)
    app.command("evaluate")(evaluate.evaluate)
    app.command("compare")(compare.compare)
    app.command("outline")(outline.outline)
    app.command("card")(card.card)
    app.command("explore")(explore.explore)
    app.command("show")(show.show)
    app.command("studio")(studio.studio)
    app.command("count-params")(count_params.count_params)
    app.command("models")(models.models)
    app.command("doctor")(doctor.doctor)
    app.add_typer(data.app, name="data")
    app.add_typer(config.app, name="config")
