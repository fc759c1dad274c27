"""The run folder: what a training run leaves behind, and how it is found and read again.

    config.yaml          the resolved config, every default spelled out
    run.json             model, data facts (components, condition scaling, digest), versions, seed, whether it finished
    best.safetensors     weights of the best evaluation (EMA where the config asks for it)
    last.safetensors     weights of the last epoch
    state.safetensors    what `--resume` needs beside the weights
    metrics.csv          one row per epoch; curves.png draws it
    judged.json          what `epure compare` found of the best weights, so that it need not judge them again

Only safetensors and JSON are ever loaded. Each file appears whole or not at all; each safetensors file
carries the SHA-256 of its tensors, which loading checks.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epurecli.config import RunConfig, dump_config, load_config
from epurecli.data.conditions import ConditionScaler
from epurecli.errors import CheckpointError, NotFound, UsageError
from epurecli.files import open_regular, write_atomic, write_json
from epurecli.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

    from epurecli.data.dataset import Dataset
    from epurecli.models.contract import GenerativeModel

DIGEST = "sha256"
TIED = "tied"  # names that stand for another tensor of the file, as JSON


# --- files ------------------------------------------------------------------------------------------------------------


def _digest(tensors: Mapping[str, Tensor]) -> str:
    import torch

    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(memoryview(tensor.flatten().view(torch.uint8).numpy()))
    return total.hexdigest()


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Save atomically with a digest of the contents; returns the digest."""
    from safetensors.torch import save

    first: dict[tuple[Any, ...], str] = {}
    tied, ready = {}, {}
    for name, tensor in tensors.items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
        same = first.setdefault(place, name) if tensor.numel() else name
        if same != name:
            tied[name] = same  # the format holds no tensor twice
        else:
            own = tensor.detach().cpu().contiguous()
            ready[name] = own if own.untyped_storage().nbytes() == own.nbytes else own.clone()  # no view of another
    digest = _digest(ready)
    write_atomic(path, save(ready, {**metadata, DIGEST: digest} | ({TIED: json.dumps(tied)} if tied else {})))
    return digest


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors, metadata) of a safetensors file written by `save_tensors`.

    Raises: CheckpointError: missing, truncated or altered.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: truncated or not a safetensors file ({error})", hint="use the other one with --which best|last"
        ) from error
    if metadata.get(DIGEST) != _digest(tensors):
        raise CheckpointError(
            f"{path}: its contents do not match its checksum; the file was altered or damaged",
            hint="use the other one with --which best|last, or train again",
        )
    try:
        tensors |= {name: tensors[same] for name, same in json.loads(metadata.get(TIED, "{}")).items()}
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{path}: {TIED!r} in its header names no tensor of the file") from error
    return tensors, metadata


# --- run folders ------------------------------------------------------------------------------------------------------


def new_run_folder(parent: Path) -> Path:
    """`<parent>/<timestamp>-<n>`, made exclusively, so that two runs started at once never share one."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    for n in range(1000):
        folder = parent / f"{stamp}-{n}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(f"{folder}: cannot be made: {error.strerror}", hint="choose another --out") from error
        return folder
    raise UsageError(f"{parent}: too many runs started in one second")


def host_facts() -> dict[str, Any]:
    """Versions and machine facts that explain a result later."""
    import torch

    facts = {"epure": __version__, "python": sys.version.split()[0], "torch": torch.__version__}
    facts |= {"platform": platform.platform(), "threads": torch.get_num_threads()}
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    home = Path(__file__).parents[1]
    if not (home / ".git").exists():  # installed, perhaps into an environment within somebody else's repository
        return facts
    try:
        command = ["git", "-C", str(home), "rev-parse", "HEAD"]
        facts["git"] = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        pass  # no git: the version says enough
    return facts


def start_run(config: RunConfig, dataset: Dataset, parent: Path, processes: int = 1) -> Path:
    """Make a run folder and write what is known before training."""
    folder = new_run_folder(parent)
    write_atomic(folder / "config.yaml", dump_config(as_kept(config)).encode())
    facts = {
        "model": config.model.type,
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "finished": False,
        "components": list(dataset.components),
        "image_size": list(dataset.image_size),
        "conditions": dataset.scaler.to_dict(),
        "condition_moments": condition_moments(dataset),
        "data": {
            "source": dataset.source,
            "digest": dataset.digest,
            "train": len(dataset.train),
            "validation": len(dataset.validation),
            "test": len(dataset.test),
        },
        "host": {**host_facts(), "processes": processes},
    }
    write_json(folder / "run.json", facts)
    return folder


def as_kept(config: RunConfig) -> RunConfig:
    """A config as a run folder keeps it: usable from any folder."""
    found = {key: path.resolve() for key in ("root_dir", "condition_csv") if (path := getattr(config.data, key))}
    return config.model_copy(update={"data": config.data.model_copy(update=found)})


def condition_moments(dataset: Dataset) -> dict[str, Any]:
    """Mean (D,) and covariance (D, D) of the training conditions, raw units: fills in what a request leaves open."""
    raw = dataset.conditions[dataset.train]
    centred = raw - raw.mean(0)
    return {"mean": raw.mean(0).tolist(), "covariance": (centred.T @ centred / len(raw)).tolist()}


def update_run(folder: Path, **facts: Any) -> None:
    write_json(folder / "run.json", {**read_run(folder), **facts})


def read_run(folder: Path) -> dict[str, Any]:
    """run.json. Raises: CheckpointError: not a run folder, or damaged."""
    path = folder / "run.json"
    try:
        with open_regular(path) as file:
            facts = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{folder}: not a run folder (no run.json)") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not readable ({error})") from error
    try:
        scaler, moments = ConditionScaler.from_dict(facts["conditions"]), facts["condition_moments"]
        sizes = [len(values) for values in (scaler.shift, scaler.scale, moments["mean"], *moments["covariance"])]
        whole = isinstance(facts["model"], str) and len(facts["components"]) > 0 and len(facts["data"]["digest"]) > 0
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: not the facts of a run ({type(error).__name__}: {error})") from error
    if not whole or set(sizes) != {len(scaler.columns)}:
        raise CheckpointError(f"{path}: its facts do not fit together; the file was altered or damaged")
    return facts


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """metrics.csv, numbers as numbers, absent terms absent."""
    import csv

    with open_regular(folder / "metrics.csv") as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        rows = [{k: v for k, v in row.items() if v != ""} for row in csv.DictReader(text)]
    return [{k: v if k == "stage" else float(v) for k, v in row.items()} for row in rows]


def newest_run(parent: Path, model: str) -> Path:
    """The newest finished run, by what it says of itself: folders are renamed, and copying changes time stamps.

    Raises: NotFound, saying which command makes one.
    """
    folders = sorted((f for f in parent.glob("*") if (f / "run.json").is_file()), key=_run_order, reverse=True)
    for folder in folders:
        if read_run(folder).get("finished"):
            return folder
    unfinished = ""
    if folders:
        unfinished = f"; {folders[0]} has not finished (--checkpoint {shlex.quote(str(folders[0]))} takes it as it is)"
    raise NotFound(f"no finished run of {model} under {parent}{unfinished}", hint=f"train one: epure train {model}")


def newest_stage(parent: Path, stage: str, digest: str) -> Path | None:
    """The weights that the newest run on the same data left at the end of a stage."""
    paths = sorted(parent.glob(f"*/{stage}.safetensors"), key=lambda p: _run_order(p.parent), reverse=True)
    return next((p for p in paths if read_run(p.parent)["data"]["digest"] == digest), None)


def _run_order(folder: Path) -> tuple[float, str, int]:
    """When a run began; where two say the same second, by their folders' names."""
    stamp, _, number = folder.name.rpartition("-")
    name = (stamp, int(number)) if number.isdigit() else (folder.name, 0)
    try:
        return datetime.fromisoformat(read_run(folder)["created"]).timestamp(), *name
    except (CheckpointError, KeyError, TypeError, ValueError):
        return 0.0, *name


# --- trained models ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model with its weights, and what sampling must know about its training."""

    model: GenerativeModel
    config: RunConfig
    facts: dict[str, Any]  # run.json
    scaler: ConditionScaler
    path: Path  # of the weights
    digest: str
    stage: str
    epoch: int
    metric: float


def save_weights(
    path: Path,
    model: GenerativeModel,
    weights: Mapping[str, Tensor] | None = None,
    *,
    stage: str,
    epoch: int,
    metric: float,
) -> str:
    """A checkpoint of the model's weights, or of `weights` that were taken from it earlier; returns the digest."""
    facts = {"model": model.config.model.type, "stage": stage, "epoch": str(epoch), "metric": repr(metric)}
    return save_tensors(path, model.state_dict() if weights is None else weights, facts)


def load_weights(model: GenerativeModel, path: Path) -> dict[str, str]:
    """Fill a model from a checkpoint; returns its metadata. Raises: CheckpointError: names the first tensor that does
    not fit."""
    tensors, metadata = load_tensors(path)
    tensors, own = model.upgraded(tensors), model.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        if name not in tensors:
            raise CheckpointError(f"{path}: lacks the weights {name!r} of this {model.config.model.type}")
        if name not in own:
            raise CheckpointError(f"{path}: holds {name!r}, which this {model.config.model.type} does not have")
        if own[name].shape != tensors[name].shape:
            shapes = f"{tuple(tensors[name].shape)}, expected {tuple(own[name].shape)}"
            raise CheckpointError(f"{path}: {name!r} has shape {shapes}")
        if own[name].dtype != tensors[name].dtype:
            kinds = f"{tensors[name].dtype}, expected {own[name].dtype}"
            raise CheckpointError(f"{path}: {name!r} is of {kinds}", hint="weights are kept as they were trained")
    model.load_state_dict(tensors)
    return metadata


def load_model(
    checkpoint: Path, which: str = "best", expect: str | None = None, overrides: Sequence[str] = ()
) -> TrainedModel:
    """Read a trained model from a run folder (`which` = best or last) or from a .safetensors file inside one.

    Args:
        overrides: `sampling.key=value`, how to draw; what was trained cannot change.

    Raises: CheckpointError; UsageError where the run is of another model than `expect`; ConfigError.
    """
    import torch

    from epurecli.models.registry import build, schema_of

    folder, path = (
        (checkpoint, checkpoint / f"{which}.safetensors") if checkpoint.is_dir() else (checkpoint.parent, checkpoint)
    )
    if not checkpoint.exists():
        raise CheckpointError(f"{checkpoint}: no such run or checkpoint")
    if path == checkpoint and not (folder / "run.json").is_file():
        raise CheckpointError(
            f"{checkpoint}: there is no run.json beside it, and weights alone do not say what they belong to",
            hint="keep the whole run folder: run.json, config.yaml and the weights",
        )
    facts = read_run(folder)
    if expect is not None and facts["model"] != expect:
        raise UsageError(
            f"{checkpoint} holds a {facts['model']}, not a {expect}", hint=f"epure sample {facts['model']} ..."
        )
    fixed = [text for text in overrides if not text.startswith("sampling.")]
    if fixed:
        raise UsageError(f"--set {fixed[0]}: a trained model takes sampling.KEY=VALUE only")
    config = load_config(folder / "config.yaml", schema_of, overrides)
    with torch.random.fork_rng(devices=[]):  # weights that are drawn and overwritten are no reason to touch it
        model = build(config)
    metadata = load_weights(model, path)
    return TrainedModel(
        model=model.eval().requires_grad_(False),
        config=config,
        facts=facts,
        scaler=ConditionScaler.from_dict(facts["conditions"]),
        path=path,
        digest=metadata[DIGEST],
        stage=metadata.get("stage", "?"),
        epoch=int(metadata.get("epoch", 0)),
        metric=float(metadata.get("metric", "nan")),
    )
