"""Run folders: written whole or not at all, found by name, read back or refused with the reason."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from epurecli import checkpoint
from epurecli.checkpoint import (
    load_model,
    load_tensors,
    new_run_folder,
    newest_run,
    read_run,
    save_tensors,
)
from epurecli.config import load_config
from epurecli.data.dataset import open_dataset
from epurecli.errors import CheckpointError, NotFound, UsageError
from epurecli.models.registry import build, schema_of

TENSORS = {
    "a": torch.arange(6.0).reshape(2, 3),
    "b": torch.tensor(3),
    "empty": torch.zeros(0, 4),
    "half": torch.tensor([1.5], dtype=torch.bfloat16),
    "turned": torch.arange(6.0).reshape(2, 3).T,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder as training leaves it, with untrained weights."""
    config = load_config("vae_toy_test", schema_of, ["data.toy.count=80"])
    folder = checkpoint.start_run(config, open_dataset(config.data), tmp_path_factory.mktemp("runs"))
    torch.manual_seed(0)
    model = build(config)
    for name, epoch in (("best", 3), ("last", 4)):
        checkpoint.save_weights(folder / f"{name}.safetensors", model, stage="vae", epoch=epoch, metric=epoch + 0.1)
    checkpoint.update_run(folder, finished=True)
    return folder


def test_tensors_come_back_with_their_facts(tmp_path: Path) -> None:
    digest = save_tensors(tmp_path / "t.safetensors", TENSORS, {"epoch": "3"})
    tensors, facts = load_tensors(tmp_path / "t.safetensors")
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].dtype == tensor.dtype
    assert (facts["epoch"], facts["sha256"]) == ("3", digest)
    assert [p.name for p in tmp_path.iterdir()] == ["t.safetensors"]


def test_the_digest_covers_values_names_shapes_and_types(tmp_path: Path) -> None:
    def digest(**tensors: torch.Tensor) -> str:
        return save_tensors(tmp_path / "t.safetensors", tensors, {})

    one = digest(a=torch.zeros(2, 3))
    assert digest(a=torch.zeros(2, 3)) == one
    others = {
        digest(a=torch.zeros(3, 2)),
        digest(b=torch.zeros(2, 3)),
        digest(a=torch.zeros(2, 3, dtype=torch.int32)),
        digest(a=torch.tensor([[0, 0, 0], [0, 0, 1.0]])),
    }
    assert len(others | {one}) == 5


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    save_tensors(path, TENSORS, {})
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="do not match its checksum"):
        load_tensors(path)


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "t.safetensors"
    save_tensors(path, TENSORS, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="truncated or not a safetensors file"):
        load_tensors(path)


def test_pickles_and_strangers_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.save(TENSORS, tmp_path / "p.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "s.safetensors")
    for name in ("p", "s"):
        with pytest.raises(CheckpointError):
            load_tensors(tmp_path / f"{name}.safetensors")


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_tensors(tmp_path / "t.safetensors")


# --- run folders ------------------------------------------------------------------------------------------------------


def test_folders_of_runs_started_at_once_differ(tmp_path: Path) -> None:
    folders = [new_run_folder(tmp_path / "deep" / "er") for _ in range(12)]
    assert len(set(folders)) == 12
    assert all(folder.is_dir() for folder in folders)


def test_a_parent_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot be made"):
        new_run_folder(tmp_path / "file")


FACTS = {
    "model": "vae",
    "components": ["a"],
    "conditions": {"columns": ["w"], "shift": [0.0], "scale": [1.0], "minimum": [0.0], "maximum": [1.0]},
    "condition_moments": {"mean": [0.5], "covariance": [[1.0]]},
    "data": {"digest": "0"},
}


def make(parent: Path, name: str, finished: bool) -> Path:
    folder = parent / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({**FACTS, "finished": finished}))
    return folder


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("conditions", {}),
        ("conditions", {**FACTS["conditions"], "shift": []}),
        ("condition_moments", None),
        ("condition_moments", {"mean": [], "covariance": []}),
        ("components", 3),
        ("data", {}),
    ],
)
def test_facts_that_do_not_fit_together_are_named(tmp_path: Path, key: str, value: object) -> None:
    (tmp_path / "run.json").write_text(json.dumps({**FACTS, key: value}))
    with pytest.raises(CheckpointError, match=r"run\.json"):
        read_run(tmp_path)


def test_the_newest_finished_run_by_name(tmp_path: Path) -> None:
    make(tmp_path, "20250101-120000-0", True)
    make(tmp_path, "20250101-120000-9", True)
    newest = make(tmp_path, "20250101-120000-10", True)
    make(tmp_path, "20260101-120000-0", False)
    (tmp_path / "20270101-120000-0").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    os.utime(tmp_path / "20250101-120000-0", (2e9, 2e9))  # a copy changes time stamps
    assert newest_run(tmp_path, "vae") == newest


def test_no_run_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no finished run of vae under") as caught:
        newest_run(tmp_path / "outputs" / "vae", "vae")
    assert caught.value.hint == "train one: epure train vae"
    assert caught.value.exit_code == 4
    folder = make(tmp_path, "20260101-120000-0", False)
    with pytest.raises(NotFound, match=f"{folder} has not finished"):
        newest_run(tmp_path, "vae")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"model": "vae"}', "[" * 100_000, "\udcff"])
def test_a_damaged_run_json_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError, match=r"run\.json"):
        read_run(tmp_path)


def test_a_folder_without_run_json_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a run folder"):
        read_run(tmp_path)


def test_what_a_run_says_about_itself(run: Path) -> None:
    facts = read_run(run)
    assert facts["model"] == "vae"
    assert facts["components"] == ["group_nc", "group_km", "bt", "fpu", "tpc"]
    assert facts["image_size"] == [64, 32]
    assert (facts["data"]["train"], facts["data"]["test"]) == (64, 10)
    assert facts["data"]["validation"] == 6
    assert facts["conditions"]["columns"] == ["width_px", "height_px"]
    assert len(facts["condition_moments"]["covariance"]) == 2
    assert {"epure", "torch", "python", "platform"} <= facts["host"].keys()
    with safe_open(run / "best.safetensors", framework="pt") as file:
        assert {"model", "stage", "epoch", "metric", "sha256"} == set(file.metadata())


# --- trained models ---------------------------------------------------------------------------------------------------


def test_a_model_is_read_from_a_run_or_a_file_in_it(run: Path) -> None:
    best, last, file = load_model(run), load_model(run, "last"), load_model(run / "last.safetensors", expect="vae")
    assert (best.epoch, last.epoch, file.epoch) == (3, 4, 4)
    assert (best.metric, best.stage, best.config.model.type) == (3.1, "vae", "vae")
    assert file.digest == last.digest
    assert not best.model.training
    assert not any(p.requires_grad for p in best.model.parameters())
    assert best.scaler.columns == ("width_px", "height_px")


def test_another_model_than_expected_is_refused(run: Path) -> None:
    with pytest.raises(UsageError, match="holds a vae, not a meta_vae"):
        load_model(run, expect="meta_vae")


@pytest.mark.parametrize("which", ["no-such-run", "."])
def test_where_there_is_no_run(tmp_path: Path, which: str) -> None:
    with pytest.raises(CheckpointError):
        load_model(tmp_path / which)


def test_weights_that_lack_a_tensor_or_hold_a_stranger_are_named(run: Path, tmp_path: Path) -> None:
    model = load_model(run).model
    weights = dict(model.state_dict())
    name = next(iter(weights))
    value = weights.pop(name)
    save_tensors(tmp_path / "w.safetensors", weights, {})
    with pytest.raises(CheckpointError, match=f"lacks the weights '{name}'"):
        checkpoint.load_weights(model, tmp_path / "w.safetensors")
    save_tensors(tmp_path / "w.safetensors", {**weights, name: value, "zz": value.clone()}, {})
    with pytest.raises(CheckpointError, match="holds 'zz'"):
        checkpoint.load_weights(model, tmp_path / "w.safetensors")


def test_weights_of_another_type_are_refused(run: Path, tmp_path: Path) -> None:
    tensors, facts = load_tensors(run / "best.safetensors")
    halves = {name: x.bfloat16() if x.is_floating_point() else x for name, x in tensors.items()}
    save_tensors(tmp_path / "w.safetensors", halves, {k: v for k, v in facts.items() if k != "sha256"})
    model = build(load_config("vae_toy_test", schema_of))
    with pytest.raises(CheckpointError, match=r"is of torch\.bfloat16, expected torch\.float32"):
        checkpoint.load_weights(model, tmp_path / "w.safetensors")


def test_newest_is_the_run_that_began_last_whatever_folders_are_called(run: Path, tmp_path: Path) -> None:
    for name, created in (("zz", "2026-01-02T00:00:00+02:00"), ("aa", "2026-01-01T23:30:00+00:00")):
        shutil.copytree(run, tmp_path / name)
        checkpoint.update_run(tmp_path / name, created=created)
    assert checkpoint.newest_run(tmp_path, "vae") == tmp_path / "aa"
