"""`epure sample`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epurecli.cli import console
from epurecli.errors import DataError, UsageError
from epurecli.types import MAX_SEED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from epurecli.checkpoint import TrainedModel
    from epurecli.config import RunConfig
    from epurecli.data.dataset import Dataset
    from epurecli.sample.sampler import Request
    from epurecli.types import Mode


def sample(
    model: Annotated[str, typer.Argument(help="What to sample; `epure models` lists them.")],
    mode: Annotated[
        str | None, typer.Option(help="unconditional, conditional, inpainting or cross-modal (default: the config's).")
    ] = None,
    num_samples: Annotated[
        int | None, typer.Option(min=1, help="How many designs (default: the config's, or one per given row).")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Run folder or .safetensors file (default: the newest finished run).")
    ] = None,
    which: Annotated[str, typer.Option(help="best or last weights of the run.")] = "best",
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="The same seed gives the same files.")] = 0,
    set_: Annotated[list[str], typer.Option("--set", help="How to draw: sampling.steps=50 (repeatable).")] = [],  # noqa: B006
    conditions_csv: Annotated[
        Path | None, typer.Option(help="CSV with the condition columns, one design per row.")
    ] = None,
    set_condition: Annotated[list[str], typer.Option(help="width_px=58, in raw units (repeatable).")] = [],  # noqa: B006
    grid: Annotated[str | None, typer.Option(help="width_px=49:64:4,height_px=45:59:4: every combination.")] = None,
    mask: Annotated[list[str], typer.Option(help="Hide this component, by number or name (repeatable).")] = [],  # noqa: B006
    source_component: Annotated[list[str], typer.Option(help="Cross-modal: what is given (repeatable).")] = [],  # noqa: B006
    target_component: Annotated[
        list[str], typer.Option(help="Cross-modal: what is wanted; the rest is drawn with it.")
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
    runs: Annotated[Path | None, typer.Option(help="Folder of runs (default: outputs/<model>).")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write (default: samples/<model>/<mode>-<n>).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what --out holds.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    devices: Annotated[
        int, typer.Option(min=1, help="Processes (or GPUs) that share the work; the files are the same for any number.")
    ] = 1,
    backend: Annotated[str, typer.Option(help="torch; onnx (after `epure export`); auto: the faster here.")] = "torch",
    onnx_dir: Annotated[Path | None, typer.Option(help="Exported folder (default: onnx/<model>/<run>).")] = None,
) -> None:
    """Draw designs with a trained model: PNGs per component, manifest.csv, contact_sheet.png."""
    from epurecli.cli.backend import BACKENDS, choose
    from epurecli.cli.options import fresh_folder, parse_mode
    from epurecli.models.registry import room_of

    room_of(model)
    wanted = parse_mode(mode) if mode is not None else None
    if which not in ("best", "last"):
        raise UsageError(f"--which {which}: expected best or last")
    if format not in ("png", "npz"):
        raise UsageError(f"--format {format}: expected png or npz")
    if backend not in BACKENDS:
        raise UsageError(f"--backend {backend}: expected {', '.join(BACKENDS)}")
    if onnx_dir is not None and backend == "torch":
        raise UsageError("--onnx-dir goes with --backend onnx or auto")
    given = [
        flag
        for flag, value in (("--conditions-csv", conditions_csv), ("--set-condition", set_condition), ("--grid", grid))
        if value
    ]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other")

    from epurecli import checkpoint as runs_
    from epurecli.sample import sampler
    from epurecli.sample.writer import SampleWriter

    run = checkpoint or runs_.newest_run(runs or Path("outputs") / model, model)
    trained = runs_.load_model(run, which, expect=model, overrides=set_)
    settings = trained.config.sampling
    wanted = wanted or settings.mode
    trained.model.require(wanted)
    console.note(f"model: {trained.path}, epoch {trained.epoch}, loss {trained.metric:.4g}")

    table = _conditions(trained, conditions_csv, set_condition, grid)
    request = _request(
        trained, wanted, table, num_samples, seed, mask, source_component, target_component, input, data,
        num_posterior_samples or settings.inpainting.num_posterior_samples,
        keep_draws, settings.crisp if crisp is None else crisp,
    )  # fmt: skip
    engine = choose(backend, onnx_dir, device, trained, request)
    console.note(f"backend: {engine.name}")
    folder = out or fresh_folder(trained.config.paths.samples_dir, wanted.value)
    provenance = {
        "model": model, "mode": wanted.value, "seed": str(seed), "backend": engine.name,
        "checkpoint": trained.path.as_posix(), "checkpoint_sha256": trained.digest,
    }  # fmt: skip
    scaler = trained.scaler
    if devices > 1:
        from epurecli.sample.parallel import draw_in_processes

        where = engine.devices(devices)
        blocks = draw_in_processes(request, engine.remake, scaler, where, engine.block)
    else:
        blocks = sampler.draw(request, engine.generate, scaler, engine.device, engine.block)
    from epurecli.cli.progress import bar

    with (
        SampleWriter(
            folder, trained.config.data.component_dirs, trained.scaler.columns,
            format=format, overwrite=overwrite, provenance=provenance,
        ) as writer,
        bar() as progress,
    ):  # fmt: skip
        task = progress.add_task("sampling", total=len(request), extra="")
        for drawn in sampler.grouped(blocks, batch_sz or settings.batch_sz):
            writer.write(drawn)
            progress.update(task, advance=len(drawn))
    console.say(f"samples: {folder}")
    console.note(f"{len(request):,} designs; look at {folder / 'contact_sheet.png'}")


def _conditions(trained: TrainedModel, csv: Path | None, settings: list[str], grid: str | None) -> Any:
    """Raw conditions (M, D) that were asked for, or None."""
    import numpy as np

    from epurecli.sample import conditions

    columns = trained.scaler.columns
    if csv is not None:
        table = conditions.read_csv(csv, columns)
    elif settings:
        table = conditions.parse_settings(settings, columns)
    elif grid is not None:
        table = conditions.parse_grid(grid, columns)
    else:
        return None
    open_ = [c for c, value in zip(columns, table[0], strict=True) if np.isnan(value)]
    moments = trained.facts["condition_moments"]
    table = conditions.complete(table, np.array(moments["mean"]), np.array(moments["covariance"]))
    for column in open_:
        values = table[:, columns.index(column)]
        shown = f"{values[0]:.4g}" if np.ptp(values) == 0 else f"{values.min():.4g} to {values.max():.4g}"
        console.note(f"{column} is not given: {shown}, expected from the training data given the rest")
    for warning in trained.scaler.outside(table):
        console.warn(warning)
    return table


def _request(
    trained: TrainedModel, mode: Mode, table: Any, count: int | None, seed: int, hide: list[str], sources: list[str],
    targets: list[str], folder: Path | None, data: Path | None, draws: int, keep_draws: bool, crisp: bool,
) -> Request:  # fmt: skip
    """Put together what to draw: names, conditions, observed parts."""
    import numpy as np

    from epurecli.cli.options import open_data
    from epurecli.sample.sampler import Numbered, Request
    from epurecli.types import Mode

    config = trained.config
    components = config.data.component_dirs
    mode_flags = {"--mask": hide, "--input": folder, "--keep-draws": keep_draws}
    cross_flags = {"--source-component": sources, "--target-component": targets}
    if not mode.observes:
        wrong = [flag for flag, value in (mode_flags | cross_flags).items() if value]
        if wrong:
            raise UsageError(f"{', '.join(wrong)}: only for --mode inpainting or cross-modal, not {mode.value}")
    if mode is Mode.UNCONDITIONAL and table is not None:
        raise UsageError("--mode unconditional takes no conditions", hint="use --mode conditional")

    def dataset() -> Dataset:
        found = open_data(data, config.data)
        if found.components != components:
            raise UsageError(
                f"the data has {', '.join(found.components)}; the model was trained on {', '.join(components)}"
            )
        if tuple(found.image_size) != tuple(config.model.image_size):
            sizes = ["x".join(map(str, size)) for size in (found.image_size, config.model.image_size)]
            raise UsageError(f"the images are {sizes[0]} (height x width); the model was trained on {sizes[1]}")
        return found

    if not mode.observes:
        listed = table is not None and len(table) > 1  # a CSV or a grid: one design per row
        number = count or (len(table) if listed else config.sampling.num_samples)
        if mode is Mode.CONDITIONAL and table is None:
            if not trained.scaler.columns:
                raise UsageError("this model was trained without conditions", hint="use --mode unconditional")
            source = dataset()
            table = source.conditions[source.test]
            console.note(
                "conditions: those of the test designs (--set-condition, --grid or --conditions-csv give others)"
            )
        rows = np.arange(number)
        conditions = table[rows % len(table)] if table is not None else None
        return Request(mode, Numbered(number), seed, crisp=crisp, conditions=conditions)

    observed = _observed(mode, components, hide, sources, targets, config, folder is not None)
    if folder is not None:
        from epurecli.data.partial import read_observed

        hidden = frozenset(np.flatnonzero(~observed).tolist())
        partial = read_observed(folder, components, config.model.image_size, config.data.filename_pattern, hidden)
        names, images, masks, truth = list(partial.prefixes), partial.images, partial.mask, False
        chosen = np.arange(len(names))
        if not masks.any(1).all():
            bare = names[int(masks.any(1).argmin())]
            raise DataError(
                f"{folder}: of {bare} nothing is given but what is to be drawn",
                hint="add another of its components, take it out, or hide fewer components",
            )
        if masks.all():
            raise DataError(f"{folder}: every design is complete", hint="hide what is to be drawn anew with --mask")
    else:
        source = dataset()
        chosen = source.test
        names, images, truth = [source.prefixes[i] for i in chosen], source.images, True
        masks = np.broadcast_to(observed, (len(names), len(components)))
    number = min(count or (len(names) if folder is not None else config.sampling.num_samples), len(names))
    if count is not None and count > number:
        console.warn(f"there are {number} designs to complete, fewer than the {count} asked for")
    conditions = table[np.arange(number) % len(table)] if table is not None else None
    return Request(
        mode, names[:number], seed, draws, keep_draws, crisp, conditions, images, chosen[:number], masks[:number], truth
    )


def _observed(
    mode: Mode,
    components: tuple[str, ...],
    hide: list[str],
    sources: list[str],
    targets: list[str],
    config: RunConfig,
    partial: bool,
) -> NDArray[np.bool_]:
    """Which components are given, (C,) bool: --mask hides, --source-component shows."""
    import numpy as np

    from epurecli.cli.options import parse_component
    from epurecli.types import Mode

    if len(components) == 1:
        raise UsageError(f"--mode {mode.value}: the model has one component only; there is nothing to complete it from")
    shown = np.ones(len(components), bool)
    if mode is Mode.INPAINTING:
        if sources or targets:
            raise UsageError(
                "--source-component and --target-component belong to --mode cross-modal", hint="use --mask"
            )
        if not hide and partial:  # what the designs lack is what is drawn
            return shown
        if not hide:
            hide = [components[0]]
            console.note(f"--mask is not given: hiding {components[0]}")
        shown[[parse_component(c, components) for c in hide]] = False
    else:
        if hide:
            raise UsageError(
                "--mask belongs to --mode inpainting", hint="use --source-component and --target-component"
            )
        default = config.sampling.cross_modal
        given = [parse_component(c, components) for c in sources or [default.source_component]]
        wanted = [parse_component(c, components) for c in targets or ([] if sources else [default.target_component])]
        both = [components[i] for i in given if i in wanted]
        if both:
            raise UsageError(f"{both[0]} is both --source-component and --target-component")
        shown[:] = False
        shown[given] = True
    if not shown.any():
        raise UsageError("every component is hidden", hint="use --mode unconditional, or hide fewer")
    if shown.all():
        raise UsageError("no component is hidden: there is nothing to draw")
    return shown
