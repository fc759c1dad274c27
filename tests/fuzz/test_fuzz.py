"""Every loader, fed what nobody would write: an `EpureError` for people, or a result; never anything else.

Hypothesis damages good files here for a second each; `fuzz.py` does it for minutes.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from epurecli.checkpoint import load_tensors, read_run, save_tensors
from epurecli.config.load import apply_overrides, build, parse_yaml, shipped
from epurecli.data.images import ImageFault, read_grey
from epurecli.data.table import read_table
from epurecli.errors import EpureError
from epurecli.export.manifest import graph_file, read_manifest
from epurecli.models.registry import schema_of
from epurecli.sample.conditions import parse_grid, parse_settings, read_conditions
from epurecli.training.state import load_state

CASES = Path(__file__).with_name("cases")
COLUMNS = ("width_px", "height_px")
SHIPPED = ("vae_toy_test", "gmrf_mvae_toy_test", "meta_vae_epure_full")


@dataclass(frozen=True)
class Loader:
    """What reads a file or a text, what such a file looks like when it is good, and which exceptions are answers."""

    read: Callable[[bytes], object]
    good: Callable[[], list[bytes]]
    answers: tuple[type[Exception], ...] = (EpureError,)


def at(name: str, read: Callable[[Path], object], data: bytes) -> object:
    """Read a file of this name, alone in a folder."""
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        return read(path)


def text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def config(data: bytes) -> None:
    tree, lines = parse_yaml(text(data), "mine.yaml")
    build(tree, lines, "mine.yaml", schema_of)


def override(data: bytes) -> None:
    build(apply_overrides(good_tree(), [text(data)]), {}, "mine.yaml", schema_of)


@cache
def good_tree() -> dict:
    return parse_yaml(shipped()["vae_toy_test"].read_text(encoding="utf-8"), "vae_toy_test.yaml")[0]


def manifest(path: Path) -> None:
    facts = read_manifest(path.parent)
    (path.parent / "sampler.onnx").write_bytes(b"")
    for name in facts["graphs"]:
        graph_file(path.parent, facts, name)
    assert isinstance(len(facts["conditions"]["columns"]), int)
    assert isinstance(facts["checkpoint"]["sha256"] + facts["model"], str)


def png(mode: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.arange(128, dtype=np.uint8).reshape(16, 8)).convert(mode).save(stream, "PNG")
    return stream.getvalue()


def tensors(metadata: dict[str, str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        save_tensors(path, {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(1, dtype=torch.int64)}, metadata)
        return path.read_bytes()


def run_facts() -> bytes:
    scaler = {"columns": COLUMNS, "shift": [50, 45], "scale": [4, 4], "minimum": [40, 40], "maximum": [60, 60]}
    facts = {
        "model": "vae",
        "finished": True,
        "components": ["bt", "fpu"],
        "conditions": scaler,
        "condition_moments": {"mean": [50, 45], "covariance": [[1, 0], [0, 1]]},
        "data": {"digest": "abc"},
    }
    return json.dumps(facts).encode()


def manifest_facts() -> bytes:
    facts = {
        "format": "epure-onnx",
        "format_version": 2,
        "model": "vae",
        "components": ["bt", "fpu"],
        "image_size": [64, 32],
        "conditions": {"columns": COLUMNS},
        "checkpoint": {"sha256": "abc"},
        "graphs": {"sampler": {"file": "sampler.onnx", "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca49"
                                                                 "5991b7852b855", "inputs": [
            {"name": "noise", "shape": ["batch", 8], "content": "normal"}]}},
    }  # fmt: skip
    return json.dumps(facts).encode()


TABLE = b"matching,train,width_px,height_px\nd0,True,50,40\nd1,False,51.5,4e1\n"
STATE = {"progress": '{"stage": 0, "epoch": 3, "rows": []}', "averaged": "[2]"}

LOADERS = {
    "config": Loader(config, lambda: [shipped()[name].read_bytes() for name in SHIPPED]),
    "override": Loader(override, lambda: [b"training.lr=3e-4", b"model.image_size=[64, 32]", b"data.toy={count: 90}"]),
    "table": Loader(
        partial(at, "t.csv", lambda path: read_table(path, "matching", "train", COLUMNS, ())), lambda: [TABLE]
    ),
    "conditions": Loader(partial(at, "c.csv", lambda path: read_conditions(path, COLUMNS)), lambda: [TABLE]),
    "grid": Loader(lambda data: parse_grid(text(data), COLUMNS), lambda: [b"width_px=49:64:4,height_px=45:59:4"]),
    "setting": Loader(lambda data: parse_settings([text(data)], COLUMNS), lambda: [b"width_px=58"]),
    "png": Loader(
        partial(at, "i.png", read_grey), lambda: [png(mode) for mode in ("L", "1", "RGBA", "P", "I;16")],
        (ImageFault,),
    ),
    "checkpoint": Loader(partial(at, "w.safetensors", load_tensors), lambda: [tensors({}), tensors(STATE)]),
    "state": Loader(partial(at, "s.safetensors", load_state), lambda: [tensors(STATE)]),
    "run": Loader(partial(at, "run.json", lambda path: read_run(path.parent)), lambda: [run_facts()]),
    "manifest": Loader(partial(at, "manifest.json", manifest), lambda: [manifest_facts()]),
}  # fmt: skip


def survives(name: str, data: bytes) -> None:
    with suppress(*LOADERS[name].answers):
        LOADERS[name].read(data)


@st.composite
def damaged(draw: st.DrawFn, good: list[bytes]) -> bytes:
    """A good file with a few pieces cut out, doubled, overwritten or put in."""
    data = draw(st.sampled_from(good))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 1, 4, 20, 200])))
        put = draw(
            st.one_of(
                st.binary(max_size=6),
                st.sampled_from([b"", b"null", b"[]", b"{}", b"-1", b"1e999", b'""', b"../", b"\x00", b": ", b"&a *a"]),
                st.just(data[start:end] * 2),
            )
        )
        data = data[:start] + put + data[end:]
    return data


@pytest.mark.parametrize("name", sorted(LOADERS))
def test_good_files_are_read(name: str) -> None:
    for data in LOADERS[name].good():
        LOADERS[name].read(data)


@pytest.mark.parametrize("name", sorted(LOADERS))
def test_damaged_files_are_answered(name: str) -> None:
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(damaged(LOADERS[name].good()))
    def check(data: bytes) -> None:
        survives(name, data)

    check()


@pytest.mark.parametrize("path", sorted(CASES.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name[:20]}")
def test_what_was_found_once(path: Path) -> None:
    survives(path.parent.name, path.read_bytes())
