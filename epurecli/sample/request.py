"""What people ask for -> a `Request`: which designs, at which conditions, given which parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from epurecli.checkpoint import TrainedModel
from epurecli.data.dataset import Dataset
from epurecli.data.partial import Observed, read_observed
from epurecli.errors import DataError, UsageError
from epurecli.listener import QUIET, Listener
from epurecli.sample import conditions
from epurecli.sample.names import parse_component
from epurecli.sample.sampler import Numbered, Request
from epurecli.types import Mode

_AT_ONCE = 256  # designs


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleOptions:
    """What to draw. What is None or empty is the config's, or follows from the rest."""

    mode: Mode | None = None
    count: int | None = None
    seed: int = 0
    conditions: NDArray[np.float64] | None = None  # (M, D) raw units; a column of NaN is left open
    open: Literal["draw", "expect"] = "draw"  # what conditions that are left open take, given the rest
    one_each: bool = False  # a design for each row of `conditions`, also where there is one row
    hide: tuple[str | int, ...] = ()  # inpainting: components to draw
    sources: tuple[str | int, ...] = ()  # cross-modal: components that are given
    targets: tuple[str | int, ...] = ()  # cross-modal: components to draw, the rest with them
    partial: Path | Observed | None = None  # designs to complete; else the test split
    has_truth: bool = False  # whether the images of `partial` also show what its mask hides
    draws: int | None = None  # of each completed design
    keep_draws: bool = False
    crisp: bool | None = None

    def of(self, trained: TrainedModel) -> Mode:
        """The mode. Raises: UnsupportedMode: the model does not have it."""
        mode = self.mode or trained.config.sampling.mode
        trained.model.require(mode)
        return mode


def build_request(
    trained: TrainedModel, options: SampleOptions, open_data: Callable[[], Dataset], listener: Listener = QUIET
) -> Request:
    """Names, conditions and observed parts of the designs to draw.

    Args:
        open_data: opens the data whose test split is used where nothing else is given.

    Raises:
        UsageError: options that do not go together or with the model.
        DataError: designs that do not fit the model.
    """
    mode, config = options.of(trained), trained.config
    _check_flags(mode, options)
    table = options.conditions
    crisp = config.sampling.crisp if options.crisp is None else options.crisp
    if mode.observes:
        return _completions(trained, mode, options, table, crisp, open_data, listener)
    listed = table is not None and (options.one_each or len(table) > 1)
    number = options.count or (len(table) if table is not None and listed else config.sampling.num_samples)
    if table is not None:
        table = fill_open(trained, _rows(table, number), options, listener)
    elif mode is Mode.CONDITIONAL:
        if not trained.scaler.columns:
            raise UsageError("this model was trained without conditions", hint="use --mode unconditional")
        source = open_data()
        table = _rows(source.conditions[source.test], number)
        listener.note("conditions: those of the test designs (--set-condition, --grid or --conditions-csv give others)")
    return Request(mode, Numbered(number), options.seed, crisp=crisp, conditions=table)


def fill_open(
    trained: TrainedModel,
    table: NDArray[np.float64],
    options: SampleOptions,
    listener: Listener,
    parts: tuple[NDArray[np.uint8], NDArray[np.bool_]] | None = None,
) -> NDArray[np.float64]:
    """Conditions that are left open are drawn for each design, as the training data has them given the rest.

    Args:
        table: (M, D) one row a design, raw units.
        parts: (M, C, H, W) images and (M, C) mask of what is given of the designs, which says more of their conditions.
    """
    scaler = trained.scaler
    left_open = np.isnan(table[0])
    if left_open.any():
        mean, covariance = (np.array(trained.facts["condition_moments"][key]) for key in ("mean", "covariance"))
        given = "the rest"
        if parts is not None and (known := condition_law(trained, *parts)) is not None:
            (mean, covariance), given = known, "the rest and the given parts"
        noise = None
        if options.open == "draw":
            noise = np.random.default_rng((options.seed, table.shape[1])).standard_normal(table.shape)
        filled = conditions.fill(table, mean, covariance, noise)
        table = np.where(left_open, np.clip(filled, scaler.minimum, scaler.maximum), table)
        what = "drawn for each design" if noise is not None else "expected"
        for column in np.flatnonzero(left_open):
            values = table[:, column]
            shown = f"{values[0]:.4g}" if np.ptp(values) == 0 else f"{values.min():.4g} to {values.max():.4g}"
            listener.note(
                f"{scaler.columns[column]} is not given: {shown}, {what} from the training data given {given}"
            )
    for warning in scaler.outside(table):
        listener.warn(warning)
    return table


def condition_law(
    trained: TrainedModel, images: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Mean (M, D) and covariance (M, D, D) of the conditions of designs of which some parts are given, raw units; None
    where the model does not know it."""
    import torch

    means, covariances = [], []
    scale = np.array(trained.scaler.scale)
    for start in range(0, len(images), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        device = trained.model.device
        shown = torch.from_numpy(np.ascontiguousarray(mask[rows])).to(device)
        levels = torch.from_numpy(np.ascontiguousarray(images[rows])).to(device).float().div_(255)
        found = trained.model.conditions_given(torch.where(shown[..., None, None], levels, 0.0), shown)
        if found is None:
            return None
        mean, factor = (part.double().cpu().numpy() for part in found)
        means.append(trained.scaler.decode(mean))
        covariances.append(factor @ factor.swapaxes(-1, -2) * scale[:, None] * scale)
    return np.concatenate(means), np.concatenate(covariances)


def _check_flags(mode: Mode, options: SampleOptions) -> None:
    given = {
        "--mask": options.hide,
        "--input": options.partial is not None,
        "--keep-draws": options.keep_draws,
        "--source-component": options.sources,
        "--target-component": options.targets,
    }
    wrong = [flag for flag, value in given.items() if value]
    if wrong and not mode.observes:
        raise UsageError(f"{', '.join(wrong)}: only for --mode inpainting or cross-modal, not {mode.value}")
    if mode is Mode.UNCONDITIONAL and options.conditions is not None:
        raise UsageError("--mode unconditional takes no conditions", hint="use --mode conditional")


def _rows(table: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """One row a design, from the top again where they are too few."""
    return table[np.arange(count) % len(table)]


def _completions(
    trained: TrainedModel,
    mode: Mode,
    options: SampleOptions,
    table: NDArray[np.float64] | None,
    crisp: bool,
    open_data: Callable[[], Dataset],
    listener: Listener,
) -> Request:
    config = trained.config
    observed = _observed(trained, mode, options, listener)
    if options.partial is not None:
        partial = _partial(trained, options.partial, observed, listener)
        names, images, masks = list(partial.prefixes), partial.images, partial.mask
        chosen, truth, usual = np.arange(len(names)), options.has_truth, len(names)
    else:
        source = open_data()
        chosen, truth, usual = source.whole(source.test), True, config.sampling.num_samples
        names, images = [source.prefixes[i] for i in chosen], source.images
        masks = np.broadcast_to(observed, (len(names), len(observed)))
    number = min(options.count or usual, len(names))
    if options.count is not None and options.count > number:
        listener.warn(f"there are {number} designs to complete, fewer than the {options.count} asked for")
    if table is not None:
        parts = (images[chosen[:number]], masks[:number]) if np.isnan(table[0]).any() else None
        table = fill_open(trained, _rows(table, number), options, listener, parts)
    return Request(
        mode,
        names[:number],
        options.seed,
        options.draws or config.sampling.inpainting.num_posterior_samples,
        options.keep_draws,
        crisp,
        table,
        images,
        chosen[:number],
        masks[:number],
        truth,
    )


def _partial(
    trained: TrainedModel, source: Path | Observed, observed: NDArray[np.bool_], listener: Listener
) -> Observed:
    """Designs that are only partly there, less what is to be drawn anew."""
    config, where = trained.config, source if isinstance(source, Path) else "the designs"
    if isinstance(source, Path):
        hidden = frozenset(np.flatnonzero(~observed).tolist())
        found = read_observed(source, config.data, config.model.image_size, hidden, listener=listener)
    else:
        found = Observed(source.prefixes, source.images, source.mask & observed)
    if not found.mask.any(1).all():
        bare = found.prefixes[int(found.mask.any(1).argmin())]
        raise DataError(
            f"{where}: of {bare} nothing is given but what is to be drawn",
            hint="add another of its components, take it out, or hide fewer components",
        )
    if found.mask.all():
        raise DataError(f"{where}: every design is complete", hint="hide what is to be drawn anew with --mask")
    return found


def _apart(names: Sequence[str | int], components: Sequence[str]) -> tuple[str | int, ...]:
    """`bt,fpu` as two names, unless a component is called so."""
    parts = ([name] if str(name) in components else str(name).split(",") for name in names)
    return tuple(part for some in parts for part in some if str(part).strip())


def _observed(trained: TrainedModel, mode: Mode, options: SampleOptions, listener: Listener) -> NDArray[np.bool_]:
    """Which components are given, (C,) bool: `hide` hides, `sources` show."""
    components = trained.config.data.component_dirs
    if len(components) == 1:
        raise UsageError(f"--mode {mode.value}: the model has one component only; there is nothing to complete it from")
    shown = np.ones(len(components), bool)
    if mode is Mode.INPAINTING:
        if options.sources or options.targets:
            raise UsageError(
                "--source-component and --target-component belong to --mode cross-modal", hint="use --mask"
            )
        hide = _apart(options.hide, components)
        if not hide and options.partial is not None:  # what the designs lack is what is drawn
            return shown
        if not hide:
            hide = (components[0],)
            listener.note(f"--mask is not given: hiding {components[0]}")
        shown[[parse_component(c, components) for c in hide]] = False
    else:
        if options.hide:
            raise UsageError(
                "--mask belongs to --mode inpainting", hint="use --source-component and --target-component"
            )
        default = trained.config.sampling.cross_modal
        sources = _apart(options.sources, components) or (default.source_component,)
        given = [parse_component(c, components) for c in sources]
        targets = _apart(options.targets, components) or (() if options.sources else (default.target_component,))
        wanted = [parse_component(c, components) for c in targets]
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
