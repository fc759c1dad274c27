"""`epure data make-toy | check | describe`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from epurecli.cli import console
from epurecli.types import MAX_SEED

app = typer.Typer(help="Make, check and describe data sets.", no_args_is_help=True)

SHOWN = 40  # problems in the table; the rest is counted (--json has all)


@app.command("make-toy")
def make_toy(
    directory: Annotated[Path, typer.Argument(help="Folder to make; must not hold anything yet.")],
    count: Annotated[int, typer.Option(min=10, help="Designs.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED)] = 0,
) -> None:
    """Draw parametric toy tyres: five components, PNGs and performances.csv in the plan's format."""
    from epurecli.cli.progress import listening
    from epurecli.data import toy

    with listening() as listener:
        toy.make_toy(directory, count, seed, listener.progress)
    console.say(f"data: {directory}")
    command = f"epure train vae --data {shlex.quote(str(directory))}"
    console.note(f"{count:,} designs of {len(toy.COMPONENTS)} components; next: {command}")


@app.command()
def check(
    directory: Annotated[Path, typer.Argument(help="Folder of designs.")],
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Find every problem of a data set in one pass; exit code 1 if there are any."""
    from dataclasses import asdict

    from epurecli.cli.progress import listening
    from epurecli.data.check import check as find

    with listening() as listener:
        report = find(directory, listener.progress)
    if json:
        problems = [{k: str(v) if isinstance(v, Path) else v for k, v in asdict(p).items()} for p in report.problems]
        counts = {"designs": report.designs, "images": report.images}
        console.say_json({**counts, "problems": problems, "warnings": report.warnings, "notes": report.notes})
        raise typer.Exit(1 if report.problems else 0)
    for text in report.notes:
        console.say(f"taken: {text}")
    for text in report.warnings:
        console.warn(text)
    if report.problems:
        shown = [(p.file, "" if p.row is None else str(p.row), p.what, p.hint) for p in report.problems[:SHOWN]]
        prose = ("problem", "what to do")
        console.show_table(("file", "row", *prose), shown, prose=prose, figures=("row",))
        more = len(report.problems) - SHOWN
        console.say(f"{len(report.problems)} problems" + (f", {more} not shown (--json lists all)" if more > 0 else ""))
    else:
        console.say(f"no problems: {report.designs:,} designs, {report.images:,} images")
    if report.problems:
        raise typer.Exit(1)


@app.command()
def describe(
    directory: Annotated[Path, typer.Argument(help="Folder of designs.")],
    out: Annotated[Path | None, typer.Option(help="Write the data section as YAML to this file.")] = None,
) -> None:
    """Show what a folder holds, and the data section of a config for it."""
    import yaml

    from epurecli.data.describe import describe as look
    from epurecli.data.describe import infer_config
    from epurecli.errors import UsageError
    from epurecli.files import write_atomic

    if out is not None and out.exists():
        raise UsageError(f"{out}: exists already", hint="choose another name for --out")
    found = look(directory)
    sizes = ", ".join(f"{h}x{w}" for h, w in found.image_sizes)
    console.say(f"{found.root}: {found.layout}; {sizes} px (height x width); PNG modes {', '.join(found.modes)}")
    for component, images in found.images.items():
        console.say(f"  {component}: {images:,} images")
    split = "" if found.train is None else f", {found.train:,} to train, {found.test:,} to test"
    console.say(f"{found.csv.name if found.csv else 'no CSV'}: {found.rows:,} designs{split}")
    if found.columns:
        figures = ("minimum", "maximum", "distinct values")
        rows = [(c.name, f"{c.minimum:g}", f"{c.maximum:g}", f"{c.distinct:,}") for c in found.columns]
        console.show_table(("column", *figures), rows, figures=figures)
    section = yaml.safe_dump(
        {"data": infer_config(directory).model_dump(mode="json", exclude_none=True)}, sort_keys=False
    )
    if out is not None:
        write_atomic(out, section.encode())
        console.say(f"data section: {out}")
    else:
        console.say("\n" + section.rstrip())
