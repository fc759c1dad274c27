"""What several commands do with their options: where a string becomes a device, a mode, a data section."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epurecli.errors import NativeUnavailable, UsageError
from epurecli.types import Mode

if TYPE_CHECKING:
    import torch

    from epurecli.config.schema import DataConfig
    from epurecli.data.dataset import Dataset


def parse_mode(text: str) -> Mode:
    """Raises: UsageError, naming the modes there are."""
    name = text.strip().lower().replace("_", "-")
    names = [m.value for m in Mode]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        raise UsageError(
            f"no mode {text!r}" + (f" - did you mean {near[0]!r}?" if near else ""), hint=f"modes: {', '.join(names)}"
        )
    return Mode(name)


def parse_component(text: str | int, components: Sequence[str]) -> int:
    """A component's number or name. Raises: UsageError, naming the components there are."""
    text = str(text).strip()
    if text.isdecimal() and int(text) < len(components):
        return int(text)
    if text in components:
        return components.index(text)
    near = difflib.get_close_matches(text, components, n=1)
    known = ", ".join(f"{i} {name}" for i, name in enumerate(components))
    raise UsageError(
        f"no component {text!r}" + (f" - did you mean {near[0]!r}?" if near else ""), hint=f"components: {known}"
    )


def parse_device(name: str) -> torch.device:
    """auto, cpu, cuda or cuda:N. Raises: NativeUnavailable where it is not there; UsageError."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"no device {name!r}", hint="devices: auto, cpu, cuda, cuda:0, ...") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not supported", hint="devices: auto, cpu, cuda, cuda:0, ...")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise NativeUnavailable(
            f"device {name!r}: this machine has no CUDA device that torch can use", hint="use --device cpu"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise NativeUnavailable(f"device {name!r}: there are {torch.cuda.device_count()} CUDA devices, counted from 0")
    return device


def parse_seconds(text: str) -> float:
    """`180`, `180s`, `3m`, `2h` in seconds. Raises: UsageError."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"--budget {text}: expected a time such as 180s, 3m or 2h")
    return seconds


def data_section(directory: Path) -> dict[str, Any]:
    """The `data:` section of a config for a folder, everything read from the folder itself."""
    from epurecli.data.describe import infer_config

    return infer_config(directory).model_dump(mode="json")


def open_data(directory: Path | None, own: DataConfig | None = None) -> Dataset:
    """A folder of designs, with the conditions of a run's `own` data where there is one; else that data itself."""
    from epurecli.cli.progress import counting
    from epurecli.config.schema import DataConfig
    from epurecli.data.dataset import open_dataset

    config = own
    if directory is not None:
        conditions = {} if own is None else {"condition_columns": own.condition_columns}
        config = DataConfig.model_validate(data_section(directory) | conditions)
    with counting() as report:
        return open_dataset(config, report)


def fresh_folder(parent: Path, name: str) -> Path:
    """The first `<name>-<n>` that is not there."""
    n = 0
    while (parent / f"{name}-{n}").exists():
        n += 1
    return parent / f"{name}-{n}"


def onnx_folder(weights: Path) -> Path:
    """Where `epure export` puts, and `epure sample` looks for, the graphs of a run's weights: onnx/<model>/<run>."""
    from epurecli.checkpoint import read_run

    run = weights.resolve().parent
    return Path("onnx") / read_run(run)["model"] / run.name
