"""`epure evaluate` and `epure compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epurecli.cli import console
from epurecli.errors import UsageError

if TYPE_CHECKING:
    from epurecli.evaluate import Report, Summary

REPORTS = Path("reports")
Nll = Annotated[
    bool, typer.Option("--nll", help="Also bound the likelihood of the test designs (IWAE-64, nats per design).")
]


def evaluate(
    what: Annotated[str, typer.Argument(help="A model (its newest finished run), or a folder of samples.")],
    data: Annotated[
        Path | None, typer.Option(help="Real designs to hold against (default: the run's own data).")
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Run folder or .safetensors file of the model.")] = None,
    num_samples: Annotated[int, typer.Option(min=10, help="Designs to sample in each mode.")] = 500,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    nll: Nll = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the report (default: reports/<name>-<n>).")] = None,
) -> None:
    """Judge designs: validity, conditioning, inpainting, distribution, novelty, each beside what real designs score."""
    from epurecli.cli.options import check_out
    from epurecli.models.registry import REGISTRY

    check_out(out, REPORTS)
    if what in REGISTRY:
        reports = [_judge(what, checkpoint, data, num_samples, seed, device, nll)]
    elif Path(what).is_dir():
        if nll:
            raise UsageError("--nll needs a model: a folder of samples has no likelihood")
        if data is None:
            raise UsageError("--data is needed to judge a folder of samples", hint="the folder of real designs")
        from dataclasses import replace

        from epurecli.api.judging import reference_of
        from epurecli.api.reading import read
        from epurecli.cli.progress import listening
        from epurecli.data.source import open_data
        from epurecli.evaluate import evaluate as judge
        from epurecli.evaluate import portray

        with listening() as listener:
            dataset = open_data(data, listener=listener)
        samples, reference = read(what, dataset.components).images, reference_of(dataset)
        found = judge(samples, reference, model=Path(what).name)
        reports = [replace(found, album=portray(samples, reference))]
    else:
        raise UsageError(f"{what!r} is neither a model nor a folder of samples", hint=f"models: {', '.join(REGISTRY)}")
    _publish(reports, out, Path(what).name)


def compare(
    models: Annotated[list[str], typer.Argument(help="Models to put side by side.")],
    data: Annotated[Path | None, typer.Option(help="A folder of designs (default: each run's own data).")] = None,
    train: Annotated[bool, typer.Option("--train", help="Train each model first, once per seed.")] = False,
    budget: Annotated[str | None, typer.Option(help="Time limit of each training, such as 180s.")] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of the trainings: 0,1,2.")] = "0",
    num_samples: Annotated[int, typer.Option(min=10, help="Designs to sample in each mode.")] = 500,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    nll: Nll = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the report (default: reports/compare-<n>).")] = None,
) -> None:
    """Put models side by side in one report: mean and spread over seeds, each metric beside what real designs score."""
    from epurecli.cli.options import check_out
    from epurecli.models.registry import entry_of

    check_out(out, REPORTS)
    for model in models:
        entry_of(model)
    numbers = _seeds(seeds)
    if not train and (budget is not None or numbers != [0]):
        raise UsageError("--budget and --seeds go with --train")
    reports = []
    for model in models:
        for number in numbers:
            run = _train(model, data, budget, number, device) if train else None
            reports.append(_judge(model, run, data, num_samples, number, device, nll))
    _publish(reports, out, "compare")


def _seeds(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [-1]
    if min(numbers) < 0 or len(set(numbers)) != len(numbers):
        raise UsageError(f"--seeds {text}: expected different whole numbers, for example 0,1,2")
    return numbers


def _train(model: str, data: Path | None, budget: str | None, seed: int, device: str) -> Path:
    from epurecli.api.engines import parse_device
    from epurecli.api.training import resolve
    from epurecli.cli.progress import listening
    from epurecli.cli.training import show_training

    console.note(f"training {model}, seed {seed}")
    with listening() as listener:
        resolved = resolve(model, None, data, (), budget, seed, listener)
    return show_training(resolved, parse_device(device))


def _judge(model: str, run: Path | None, data: Path | None, count: int, seed: int, device: str, nll: bool) -> Report:
    from epurecli.api.loading import open_run
    from epurecli.cli.progress import listening

    with listening() as listener:
        found = open_run(model, run, device=device, listener=listener)
        console.note(f"judging {found.trained.path}, epoch {found.trained.epoch}")
        return found.evaluate(data, num_samples=count, seed=seed, nll=nll)


def _publish(reports: list[Report], out: Path | None, name: str) -> None:
    """Write the report files and show the table."""
    from epurecli.cli.options import claimed
    from epurecli.evaluate import summarise, write_reports

    with claimed(out, REPORTS, name) as folder:
        paths = write_reports(reports, folder)
    summary = summarise(reports)
    _show_summary(summary)
    for note in summary.notes:
        console.note(note)
    console.say(f"report: {paths[2]}")


def _show_summary(summary: Summary) -> None:
    """Each metric with every model's figure, the best one green, and what real designs score."""
    from rich.text import Text

    rows: list[tuple[Text | str, ...]] = []
    group = None
    for row in summary.rows:
        if row.group != group:
            rows.append((row.group,))
            group = row.group
        cells = []
        for cell in row.cells:
            text = f"{cell.mean:.4g}" + (f" ± {cell.spread:.2g}" if cell.spread is not None else "")
            cells.append(Text(text, style="green" if cell.best and len(row.cells) > 1 else ""))
        rows.append((row.name, row.unit, *cells, "" if row.floor is None else f"{row.floor:.4g}"))
    console.show_table(("metric", "unit", *summary.models, "real"), rows)
