"""`epure sample`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epurecli.cli import console
from epurecli.cli.completion import component_names, condition_values, model_names
from epurecli.cli.options import Checkpoint, Device, Runs, Which
from epurecli.errors import UsageError
from epurecli.types import MAX_SEED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from epurecli.listener import Listener

BACKENDS = ("torch", "onnx", "auto")


def sample(
    model: Annotated[
        str, typer.Argument(help="What to sample; `epure models` lists them.", autocompletion=model_names)
    ],
    mode: Annotated[
        str | None, typer.Option(help="unconditional, conditional, inpainting or cross-modal (default: the config's).")
    ] = None,
    num_samples: Annotated[
        int | None, typer.Option(min=1, help="How many designs (default: the config's, or one per given row).")
    ] = None,
    checkpoint: Checkpoint = None,
    which: Which = "best",
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="The same seed gives the same files.")] = 0,
    set_: Annotated[list[str], typer.Option("--set", help="How to draw: sampling.steps=50 (repeatable).")] = [],  # noqa: B006
    conditions_csv: Annotated[
        Path | None, typer.Option(help="CSV with the condition columns, one design per row.")
    ] = None,
    set_condition: Annotated[
        list[str], typer.Option(help="width_px=58, in raw units (repeatable).", autocompletion=condition_values)
    ] = [],  # noqa: B006
    open: Annotated[
        str, typer.Option(help="Conditions that are not given: draw (for each design, given the rest) or expect.")
    ] = "draw",
    grid: Annotated[str | None, typer.Option(help="width_px=49:64:4,height_px=45:59:4: every combination.")] = None,
    mask: Annotated[
        list[str],
        typer.Option(help="Hide this component, by number or name (repeatable).", autocompletion=component_names),
    ] = [],  # noqa: B006
    source_component: Annotated[
        list[str], typer.Option(help="Cross-modal: what is given (repeatable).", autocompletion=component_names)
    ] = [],  # noqa: B006
    target_component: Annotated[
        list[str],
        typer.Option(help="Cross-modal: what is wanted; the rest is drawn with it.", autocompletion=component_names),
    ] = [],  # noqa: B006
    input: Annotated[Path | None, typer.Option(help="Folder of designs to complete (default: the test split).")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Data set whose test split is used (default: the run's own).")
    ] = None,
    num_posterior_samples: Annotated[int | None, typer.Option(min=1, help="Draws per completed design.")] = None,
    keep_draws: Annotated[
        bool, typer.Option("--keep-draws", help="Write every draw, not only mean and spread.")
    ] = False,
    crisp: Annotated[bool | None, typer.Option("--crisp/--grey", help="Black-and-white parts, or grey means.")] = None,
    format: Annotated[str, typer.Option(help="png, or npz (a few large files).")] = "png",
    batch_sz: Annotated[
        int | None, typer.Option(min=1, help="Designs handed to the writer at a time; never changes a design.")
    ] = None,
    runs: Runs = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write (default: samples/<model>/<mode>-<n>).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what --out holds.")] = False,
    device: Device = "auto",
    devices: Annotated[
        str | None,
        typer.Option(help="Processes that share the work: a number, or auto for one a GPU. The files stay the same."),
    ] = None,
    num_nodes: Annotated[
        int, typer.Option(min=1, help="Machines; each runs the same command (MASTER_ADDR, NODE_RANK; or torchrun).")
    ] = 1,
    backend: Annotated[str, typer.Option(help="torch; onnx (after `epure export`); auto: the faster here.")] = "torch",
    onnx_dir: Annotated[Path | None, typer.Option(help="Exported folder (default: onnx/<model>/<run>).")] = None,
) -> None:
    """Draw designs with a trained model: PNGs per component, manifest.csv, contact_sheet.png."""
    from epurecli.cli.options import check_which, claimed
    from epurecli.cli.ranks import follow_quietly, joined
    from epurecli.models.registry import entry_of
    from epurecli.sample.names import parse_mode

    follow_quietly()
    entry_of(model)
    wanted = parse_mode(mode) if mode is not None else None
    check_which(which)
    if format not in ("png", "npz"):
        raise UsageError(f"--format {format}: expected png or npz")
    if open not in ("draw", "expect"):
        raise UsageError(f"--open {open}: expected draw or expect")
    if backend not in BACKENDS:
        raise UsageError(f"--backend {backend}: expected {', '.join(BACKENDS)}")
    if onnx_dir is not None and backend == "torch":
        raise UsageError("--onnx-dir goes with --backend onnx or auto")
    flags = (("--conditions-csv", conditions_csv), ("--set-condition", set_condition), ("--grid", grid))
    given = [flag for flag, value in flags if value]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other")

    import torch

    from epurecli.api.engines import parse_device
    from epurecli.api.loading import open_run
    from epurecli.api.sampling import prepare
    from epurecli.cli.progress import listening
    from epurecli.ranks import Ranks
    from epurecli.sample.request import SampleOptions

    where = parse_device(device) if backend != "onnx" else torch.device("cpu")
    with joined(devices, num_nodes, where, Ranks, "sampling") as (ranks, where), listening() as listener:
        with ranks.first():  # what may be refused is refused once
            run = open_run(model, checkpoint, which, runs, set_)
            options = SampleOptions(
                mode=wanted,
                count=num_samples,
                seed=seed,
                conditions=_table(run.trained.scaler.columns, conditions_csv, set_condition, grid, listener),
                one_each=conditions_csv is not None or grid is not None,
                hide=tuple(mask),
                sources=tuple(source_component),
                targets=tuple(target_component),
                partial=input,
                draws=num_posterior_samples,
                keep_draws=keep_draws,
                crisp=crisp,
                open=open,
            )
            console.note(run.summary)
        sampling = prepare(
            run.trained,
            options,
            data=data,
            backend=backend,
            onnx_dir=onnx_dir,
            device=str(where) if ranks.count > 1 and backend == "torch" else device,
            ranks=ranks,
            listener=listener,
        )
        console.note(f"backend: {sampling.engine.name}")
        parent, name = _samples_dir(run.config.paths.samples_dir, model), sampling.request.mode.value
        with claimed(out, parent, name) if ranks.writes else nullcontext(Path()) as folder:
            sampling.write(
                folder, format=format, overwrite=overwrite, batch_sz=batch_sz, ranks=ranks, listener=listener
            )
    if ranks.writes:
        console.say(f"samples: {folder}")
        console.note(f"{len(sampling.request):,} designs; look at {folder / 'contact_sheet.png'}")


def _samples_dir(own: Path, model: str) -> Path:
    """Where a run's samples go without --out. A run may come from anywhere: none writes beyond the working folder."""
    if not own.is_absolute() and ".." not in own.parts:
        return own
    usual = Path("samples") / model
    console.note(
        f"the run asks for its samples in {own}, beyond this folder: they go to {usual} (--out DIR: elsewhere)"
    )
    return usual


def _table(
    columns: tuple[str, ...], csv: Path | None, settings: list[str], grid: str | None, listener: Listener
) -> NDArray[np.float64] | None:
    """Raw conditions (M, D) that were asked for, NaN where one is left open; None if there are none."""
    from epurecli.sample import conditions

    if csv is not None:
        return conditions.read_conditions(csv, columns, listener)
    if settings:
        return conditions.parse_settings(settings, columns)
    return conditions.parse_grid(grid, columns) if grid is not None else None
