"""`epure explore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from epurecli.cli import console


def explore(
    folder: Annotated[Path, typer.Argument(help="Samples, designed or kept designs, or a data set.")],
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("explorer.html"),
    most: Annotated[int, typer.Option(min=1, help="Designs at most; of more, so many spread evenly.")] = 5000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """One HTML file to look through designs, filter, compare and choose them: no model, no server, no network."""
    from epurecli.api.exploring import explore as write
    from epurecli.cli.progress import listening

    with listening() as listener:
        path = write(folder, out, most=most, overwrite=overwrite, listener=listener)
    console.say(f"explorer: {path}")
    console.note(f"{path.stat().st_size / 1e6:.2f} MB; open it in a browser, or mail it: all is inside")
