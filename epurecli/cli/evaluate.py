"""`epure evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epurecli.cli import console
from epurecli.cli.completion import model_names, run_folders
from epurecli.cli.options import Device
from epurecli.cli.report import REPORTS, publish
from epurecli.errors import UsageError

if TYPE_CHECKING:
    from epurecli.evaluate import Report

Nll = Annotated[
    bool, typer.Option("--nll", help="Also bound the likelihood of the test designs (IWAE-64, nats per design).")
]
NumSamples = Annotated[int, typer.Option(min=10, help="Designs to sample in each mode.")]
Completions = Annotated[
    int, typer.Option(min=10, help="Test designs to complete at most; 100 at least from every subset of parts.")
]


def evaluate(
    what: Annotated[
        str,
        typer.Argument(help="A model (its newest finished run), or a folder of samples.", autocompletion=model_names),
    ],
    data: Annotated[
        Path | None, typer.Option(help="Real designs to hold against (default: the run's own data).")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Run folder or .safetensors file of the model.", autocompletion=run_folders)
    ] = None,
    num_samples: NumSamples = 500,
    completions: Completions = 3000,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Device = "auto",
    nll: Nll = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the report (default: reports/<name>-<n>).")] = None,
) -> None:
    """Judge designs: validity, conditioning, inpainting, distribution, novelty, each beside what real designs score."""
    from epurecli.cli.options import check_out
    from epurecli.models.registry import REGISTRY

    check_out(out, REPORTS)
    if what in REGISTRY:
        asked = {"num_samples": num_samples, "completions": completions, "seed": seed, "nll": nll}
        reports = [_judge(what, checkpoint, data, device, asked)]
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
    publish(reports, out, Path(what).name)


def _judge(model: str, run: Path | None, data: Path | None, device: str, asked: dict[str, Any]) -> Report:
    from epurecli.api.loading import open_run
    from epurecli.cli.progress import listening

    with listening() as listener:
        found = open_run(model, run, device=device, listener=listener)
        console.note(f"judging {found.trained.path}, epoch {found.trained.epoch}")
        return found.evaluate(data, **asked)
