"""`epure design` and `epure predict`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epurecli.cli import console
from epurecli.cli.completion import component_names, model_names
from epurecli.cli.options import Checkpoint, Device, Runs, Which
from epurecli.errors import UsageError
from epurecli.types import MAX_SEED

if TYPE_CHECKING:
    import pandas as pd

    from epurecli.api.designs import Designs
    from epurecli.api.run import Run

Pairs = list[str]
PREDICTIONS = Path("predictions.csv")
_SHOWN = 8  # designs in the table on the terminal


def design(
    model: Annotated[
        str, typer.Argument(help="What draws the designs; `epure models` lists them.", autocompletion=model_names)
    ],
    target: Annotated[Pairs, typer.Option(help="NAME=VALUE: a figure to be hit (repeatable).")] = [],  # noqa: B006
    range: Annotated[Pairs, typer.Option(help="NAME=LOW:HIGH: a figure to be within (repeatable).")] = [],  # noqa: B006
    at_least: Annotated[Pairs, typer.Option(help="NAME=VALUE (repeatable).")] = [],  # noqa: B006
    at_most: Annotated[Pairs, typer.Option(help="NAME=VALUE (repeatable).")] = [],  # noqa: B006
    maximise: Annotated[Pairs, typer.Option(help="NAME: as much as the rest allows (repeatable).")] = [],  # noqa: B006
    minimise: Annotated[Pairs, typer.Option(help="NAME: as little as the rest allows (repeatable).")] = [],  # noqa: B006
    tolerance: Annotated[
        float | None, typer.Option(help="Of targets, in standard deviations of the data (default: 0.1).")
    ] = None,
    fix: Annotated[
        Pairs, typer.Option(help="Component to keep as --input has it (repeatable).", autocompletion=component_names)
    ] = [],  # noqa: B006
    input: Annotated[Path | None, typer.Option(help="Folder with the design that --fix keeps parts of.")] = None,
    name: Annotated[str | None, typer.Option(help="Which design of --input (default: the only one).")] = None,
    spec: Annotated[Path | None, typer.Option(help="YAML file with the same keys; flags are added to it.")] = None,
    results: Annotated[
        Path | None, typer.Option(help="to_simulate.csv of an earlier round, filled in: learn from it first.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many designs.")] = 8,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="The same seed gives the same designs.")] = 0,
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Also designs further from the data than real ones.")
    ] = False,
    checkpoint: Checkpoint = None,
    which: Which = "best",
    runs: Runs = None,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder to write (default: designs/<model>-<n>).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what --out holds.")] = False,
) -> None:
    """Wanted figures in, designs out: several that have them and differ, the best first."""
    from epurecli.cli.options import check_which, claimed
    from epurecli.models.registry import entry_of

    entry_of(model)
    check_which(which)
    flags: dict[str, Any] = {
        "target": _pairs("--target", target),
        "range": {key: _two("--range", key, value) for key, value in _texts("--range", range).items()},
        "at_least": _pairs("--at-least", at_least),
        "at_most": _pairs("--at-most", at_most),
        "maximise": tuple(maximise),
        "minimise": tuple(minimise),
        "fix": tuple(fix),
    }
    told = _joined(_spec(spec) if spec is not None else {}, flags)
    told |= {"input": input or told.get("input")} | ({"tolerance": tolerance} if tolerance is not None else {})

    from epurecli.api.loading import open_run
    from epurecli.cli.progress import listening
    from epurecli.design.brief import Brief
    from epurecli.sample.layout import replaceable

    brief = Brief.of(told, str(spec) if spec is not None else "the brief")
    if bool(brief.fix) != (brief.input is not None):
        raise UsageError("--fix and --input go together", "--fix PART --input FOLDER keeps a part of a design there")
    if out is not None and out.exists():
        replaceable(out, overwrite)(out)
    with listening() as listener:
        run = open_run(model, checkpoint, which, runs, device=device, listener=listener)
        console.note(run.summary)
        fixed = _fixed(run, brief.fix, brief.input, name) if brief.input is not None else None
        found = run.answer(brief, fixed, count=count, seed=seed, extrapolate=extrapolate, results=results)
        with claimed(out, Path("designs"), model) as folder:
            found.save(folder, overwrite=overwrite)
    asked = [column for column in found.background.columns if f"{column}_asked" in found.table]
    shown = found.table.head(_SHOWN)
    rows = [(str(label), *(_interval(row, column) for column in asked)) for label, row in shown.iterrows()]
    heads = ("design", *(f"{column} ({found.table[f'{column}_asked'].iloc[0]})" for column in asked))
    console.show_table(heads, rows)
    if len(found) < count:
        console.note(f"{len(found)} designs that differ were found, fewer than the {count} asked for")
    console.say(f"designs: {folder}")
    console.note(f"look at {folder / 'report.html'}; figures and their intervals: {folder / 'designs.csv'}")
    table = folder / "to_simulate.csv"
    console.note(f"simulated some? fill in {table} and add --results {shlex.quote(str(table))}")


def predict(
    what: Annotated[Path, typer.Argument(help="A folder of designs, or a run folder: its test designs.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Run whose data is learnt from (default: the one that drew the designs).")
    ] = None,
    device: Device = "auto",
    out: Annotated[Path, typer.Option(help="CSV to write.")] = PREDICTIONS,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Figures of designs from their images, each with an interval that holds nine of ten."""
    from epurecli.api.figures import csv_text
    from epurecli.api.loading import load
    from epurecli.api.reading import read
    from epurecli.cli.progress import listening
    from epurecli.errors import NotFound
    from epurecli.files import write_atomic

    if out.exists() and (out.is_dir() or not overwrite):
        raise UsageError(f"--out {out} exists already", "name another file, or add --overwrite")
    if not what.exists():
        raise NotFound(f"{what}: no such folder", "a folder of designs, or a run folder")
    own = what.is_file() or (what / "run.json").is_file()
    designs = None if own else read(what)
    if own and checkpoint is not None:
        raise UsageError(f"{what} is a run: --checkpoint would be another", "give a folder of designs")
    source = what if own else checkpoint or _drawn_by(what, designs)
    with listening() as listener:
        run = load(source, device=device, listener=listener)
        designs = run.test if designs is None else designs
        frame = run.predict(designs)
    write_atomic(out, csv_text(frame).encode())
    _tell_errors(run)
    console.say(f"predictions: {out}")
    console.note(f"{len(frame):,} designs; NAME_low to NAME_high holds nine of ten designs like those of the data")


def _tell_errors(run: Run) -> None:
    """What each figure was learnt from, and how well."""
    told = run.predictor
    sizes = {told.columns[measure.column] for measure in told.measures}
    rows = [
        (
            name,
            "measured" if name in sizes else f"{error:.3g}",
            f"{error / sd:.3f}" if name not in sizes else "",
            f"{n:,}",
        )
        for name, error, sd, n in zip(told.columns, told.error, told.deviation, told.labels, strict=True)
    ]
    heads = ("figure", "mean error", "in standard deviations", "designs learnt from")
    console.show_table(heads, rows, title=f"predictor: {told.method}, errors by cross-validation")


def _drawn_by(folder: Path, designs: Designs | None) -> str:
    found = "" if designs is None else designs.provenance.get("checkpoint", "")
    if not found or not Path(found).is_file():
        lost = f"{folder} was drawn by {found}, which is not there" if found else f"{folder} does not say what drew it"
        raise UsageError(lost, "name the run whose data is to be learnt from: --checkpoint RUN")
    return found


def _fixed(run: Run, parts: tuple[str, ...], folder: Path, name: str | None) -> Designs:
    """The one design whose parts are kept. Raises: UsageError, NotFound, DataError."""
    from epurecli.api.reading import read

    designs = read(folder)
    if name is not None:
        if name not in designs.names:
            raise UsageError(f"--name {name}: no such design in {folder}", f"there are {', '.join(designs.names[:8])}")
        designs = designs[designs.names.index(name)]
    elif len(designs) != 1:
        few = ", ".join(designs.names[:4])
        raise UsageError(f"{folder} holds {len(designs)} designs", f"name one: --name, for example one of {few}")
    return designs.only(*parts)


def _interval(row: pd.Series, column: str) -> str:
    value, low, high = (float(row[key]) for key in (column, f"{column}_low", f"{column}_high"))
    return f"{value:.4g} ({low:.3g} to {high:.3g})" if high > low else f"{value:.4g}"


def _texts(flag: str, given: Pairs) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            raise UsageError(f"{flag} {text}: expected NAME=VALUE")
        if name.strip() in found:
            raise UsageError(f"{flag}: {name.strip()} is given twice")
        found[name.strip()] = value
    return found


def _pairs(flag: str, given: Pairs) -> dict[str, float]:
    from epurecli.sample.conditions import parse_number

    return {name: parse_number(value, f"{flag} {name}") for name, value in _texts(flag, given).items()}


def _two(flag: str, name: str, text: str) -> tuple[float, float]:
    from epurecli.sample.conditions import parse_number

    low, separator, high = text.partition(":")
    if not separator:
        raise UsageError(f"{flag} {name}={text}: expected {name}=LOW:HIGH")
    return parse_number(low, f"{flag} {name}"), parse_number(high, f"{flag} {name}")


def _spec(path: Path) -> dict[str, Any]:
    """A brief in a file. Raises: NotFound, UsageError."""
    from epurecli.config.load import parse_yaml, read_source
    from epurecli.errors import NotFound

    if not path.is_file():
        raise NotFound(f"{path}: no such file", "a brief is a YAML file: epure design writes brief.yaml")
    tree, _ = parse_yaml(*read_source(path))
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise UsageError(f"{path}: expected keys and values", "for example target: {d_rigid: 0.2}")
    return tree


def _joined(tree: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """What flags say on top of a file; where both speak of one figure in the same way, the flag counts."""
    joined = dict(tree)
    for key, value in flags.items():
        if isinstance(value, dict):
            earlier = joined.get(key) or {}
            joined[key] = {**earlier, **value} if isinstance(earlier, dict) else earlier
        elif value:
            joined[key] = value
    return {key: value for key, value in joined.items() if value is not None}
