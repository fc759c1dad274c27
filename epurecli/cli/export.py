"""`epure export`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from epurecli.cli import console
from epurecli.cli.completion import model_names
from epurecli.cli.options import Checkpoint, Runs, Which


def export(
    model: Annotated[
        str, typer.Argument(help="What to export; `epure models` lists them.", autocompletion=model_names)
    ],
    onnx: Annotated[bool, typer.Option("--onnx", help="The format (the only one there is, and the default).")] = True,
    checkpoint: Checkpoint = None,
    which: Which = "best",
    graph: Annotated[
        list[str], typer.Option(help="Only this graph: decoder, sampler or inpaint (repeatable; default: all).")
    ] = [],  # noqa: B006
    opset: Annotated[int | None, typer.Option(help="ONNX operator set (default: 20).")] = None,
    ir_version: Annotated[
        int | None, typer.Option(help="Version of the file format (default: the oldest that has the operators).")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Compare with torch before anything is left.")
    ] = True,
    runs: Runs = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write (default: onnx/<model>/<run>).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export in --out.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the manifest.")] = False,
) -> None:
    """Export a trained model as ONNX graphs: the decoder, the whole sampler, and completing partial designs."""
    from epurecli.cli.options import check_which
    from epurecli.models.registry import entry_of

    entry_of(model)
    check_which(which)

    from epurecli.api.loading import open_run
    from epurecli.export.convert import OPSET
    from epurecli.export.folder import export_folder, onnx_folder

    run = open_run(model, checkpoint, which, runs)
    trained = run.trained
    console.note(run.summary)
    folder = out or onnx_folder(trained.path)

    def report(what: str, number: int, total: int) -> None:
        console.note(f"graph {number} of {total}: {what}")

    facts = export_folder(
        trained,
        folder,
        names=graph,
        opset=opset or OPSET,
        ir_version=ir_version,
        verify=verify,
        overwrite=overwrite,
        report=report,
    )
    if json:
        console.say_json(facts)
        return
    _show_table(facts)
    console.say(f"graphs: {folder}")
    if not verify:
        console.warn("not compared with torch (--no-verify)")
    if "sampler" in facts["graphs"]:
        where = "" if folder == onnx_folder(trained.path) else f" --onnx-dir {shlex.quote(str(folder))}"
        chosen = f" --checkpoint {shlex.quote(str(checkpoint))}" if checkpoint else ""
        console.note(
            f"next: epure sample {model} --mode unconditional --backend onnx{chosen}{where}, "
            f"or python {shlex.quote(str(folder / 'example.py'))}"
        )


def _show_table(facts: dict[str, Any]) -> None:
    """Size of each graph, and the largest difference from torch at each batch size."""
    graphs = facts["graphs"]
    batches = list(next(iter(graphs.values()))["parity"])
    heads = ("graph", "MB", *(f"batch {batch}" for batch in batches))
    rows = [
        (name, f"{entry['bytes'] / 1e6:.1f}", *(f"{entry['parity'][batch]:.1e}" for batch in batches))
        for name, entry in graphs.items()
    ]
    console.show_table(heads, rows, title="largest difference from torch", figures=heads[1:])
