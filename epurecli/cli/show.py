"""`epure show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from epurecli.cli import console
from epurecli.cli.completion import model_names, run_folders
from epurecli.errors import UsageError


def show(
    model: Annotated[
        str, typer.Argument(help="A model with a prior over components: gmrf_mvae.", autocompletion=model_names)
    ],
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Run folder or .safetensors file (default: newest run).", autocompletion=run_folders),
    ] = None,
    out: Annotated[Path, typer.Option(help="Heat map to write.")] = Path("dependence.png"),
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """What depends on what: the learned correlation between components, as a table and a heat map."""
    from epurecli.api.loading import open_run

    trained = open_run(model, checkpoint).trained
    if not hasattr(trained.model, "gaussian_prior"):
        raise UsageError(f"{model} has no prior over its components", hint="epure show gmrf_mvae")
    from epurecli.gmrf.dependence import canonical_correlations, correlation

    covariance = trained.model.gaussian_prior().covariance
    table = canonical_correlations(covariance, trained.model.sizes)
    names = trained.config.data.component_dirs
    _heat_map(correlation(covariance).numpy(), table.numpy(), names, trained.model.sizes, out)
    if json:
        console.say_json({"components": list(names), "canonical_correlations": table.tolist(), "heat_map": str(out)})
        return
    console.say("largest canonical correlation between the latents of two components (0 independent, 1 determined)")
    rows = [(name, *(f"{v:.2f}" for v in row)) for name, row in zip(names, table.tolist(), strict=True)]
    console.show_table(("", *names), rows, figures=names)
    console.say(f"heat map: {out}")


def _heat_map(latent, components, names, sizes, path: Path) -> None:
    import io

    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from epurecli.files import write_atomic

    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    image = left.imshow(latent, cmap="RdBu_r", vmin=-1, vmax=1)
    edges = np.cumsum(sizes)
    for edge in edges[:-1]:
        left.axhline(edge - 0.5, color="black", lw=0.8)
        left.axvline(edge - 0.5, color="black", lw=0.8)
    middles = edges - np.asarray(sizes) / 2 - 0.5
    left.set(title="prior correlation of the latents", xticks=middles, yticks=middles)
    figure.colorbar(image, ax=left, shrink=0.8)
    image = right.imshow(components, cmap="viridis", vmin=0, vmax=1)
    ticks = np.arange(len(names))
    right.set(title="largest canonical correlation", xticks=ticks, yticks=ticks)
    for (row, column), value in np.ndenumerate(components):
        right.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if value < 0.6 else "black")
    for axis in (left, right):
        axis.set_xticklabels(names, rotation=30)
        axis.set_yticklabels(names)
    figure.colorbar(image, ax=right, shrink=0.8)
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_atomic(path, buffer.getvalue())
