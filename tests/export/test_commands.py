"""`epure export`, `epure sample --backend` and `epure doctor` as people type them."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, epure) -> Path:
    """A folder with a trained and exported vae, and a second run that was not exported."""
    folder = tmp_path_factory.mktemp("work")
    train = ("train", "vae", "--config", "vae_toy_test", "--set", "data.toy.count=64", "--set", "training.epochs=1")
    for seed, runs in enumerate(("outputs/vae", "others")):
        result = epure(*train, "--set", f"training.seed={seed}", "--out", runs, cwd=folder)
        assert result.code == 0, result.err
    (second,) = (folder / "others").iterdir()
    second.rename(second.with_name(f"{second.name}9"))  # both runs may have begun in the same second
    result = epure("export", "vae", "--onnx", cwd=folder)
    assert result.code == 0, result.err
    return folder


def exported(work: Path) -> Path:
    (run,) = (work / "outputs" / "vae").iterdir()
    return work / "onnx" / "vae" / run.name


def pixels(folder: Path) -> dict[str, np.ndarray]:
    return {str(p.relative_to(folder)): np.asarray(Image.open(p), int) for p in sorted(folder.glob("*/*.png"))}


def test_export_says_where_and_how_exact(work: Path, epure, tmp_path: Path) -> None:
    assert {p.name for p in exported(work).iterdir()} == {
        "decoder.onnx", "sampler.onnx", "inpaint.onnx", "manifest.json", "example.py",
    }  # fmt: skip
    result = epure("export", "vae", "--graph", "decoder", "--out", tmp_path / "out", "--json", cwd=work)
    assert result.code == 0, result.err
    facts = json.loads(result.out)
    assert facts == json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert max(facts["graphs"]["decoder"]["parity"].values()) < 1e-4
    steps = [line for line in result.err.splitlines() if line.startswith("graph ")]
    assert steps == ["graph 1 of 1: decoder: converting", "graph 1 of 1: decoder: checking against torch"]


@pytest.mark.parametrize(
    "options",
    [
        ("--mode", "unconditional", "--num-samples", 20),
        ("--mode", "conditional", "--set-condition", "width_px=58", "--num-samples", 5),
        ("--mode", "inpainting", "--mask", 0, "--num-posterior-samples", 3, "--keep-draws"),
        ("--mode", "cross-modal", "--source-component", "fpu"),
    ],
)
def test_onnx_and_torch_give_the_same_files(work: Path, epure, tmp_path: Path, options: tuple) -> None:
    for backend in ("torch", "onnx"):
        result = epure("sample", "vae", *options, "--grey", "--out", tmp_path / backend, "--backend", backend, cwd=work)
        assert result.code == 0, result.err
        with (tmp_path / backend / "manifest.csv").open(encoding="utf-8", newline="") as file:
            assert {row["backend"].split()[0] for row in csv.DictReader(file)} == {backend}
    torch_files, onnx_files = pixels(tmp_path / "torch"), pixels(tmp_path / "onnx")
    assert len(torch_files) >= 5
    assert torch_files.keys() == onnx_files.keys()
    assert max(int(np.abs(torch_files[name] - onnx_files[name]).max()) for name in torch_files) <= 1, "one grey level"


def test_auto_measures_both_and_takes_the_faster(work: Path, epure, tmp_path: Path) -> None:
    run = ("sample", "vae", "--mode", "inpainting", "--num-samples", 2, "--backend", "auto")
    result = epure(*run, "--out", tmp_path / "both", cwd=work)
    assert result.code == 0, result.err
    rates = {
        name: float(rate.replace(",", "")) for name, rate in re.findall(r"(\w+) on \w+: ([\d,]+) designs/s", result.err)
    }
    assert set(rates) == {"onnx", "torch"}
    (chosen,) = re.findall(r"backend: (\w+) on", result.err)
    assert rates[chosen] == max(rates.values())
    result = epure(*run, "--runs", "others", "--out", tmp_path / "one", cwd=work)
    assert result.code == 0, result.err
    assert "no ONNX graphs to try" in result.err
    assert "backend: torch on" in result.err


@pytest.mark.parametrize(
    ("code", "argv", "message"),
    [
        (4, ("export", "vae", "--runs", "nowhere"), "no finished run of vae under nowhere"),
        (4, ("export", "vae", "--checkpoint", "nowhere"), "nowhere: no such run or checkpoint"),
        (2, ("export", "vae", "--graph", "encoder", "--out", "new"), "vae has no graph 'encoder'"),
        (2, ("export", "vae", "--opset", "5", "--out", "new"), "--opset 5: expected 18 to 23"),
        (2, ("export", "vae"), "add --overwrite"),
        (2, ("export", "vea"), "did you mean 'vae'?"),
        (2, ("export", "vae", "--which", "first"), "expected best or last"),
        (2, ("export", "vae", "--out", "outputs", "--overwrite"), "cannot be overwritten: it is no earlier export"),
        (4, ("sample", "vae", "--backend", "onnx", "--runs", "others"), "epure export vae --onnx --checkpoint others"),
        (4, ("sample", "vae", "--backend", "onnx", "--onnx-dir", "{exported}", "--runs", "others"), "other weights"),
        (2, ("sample", "vae", "--backend", "tensorrt"), "expected torch, onnx, auto"),
        (2, ("sample", "vae", "--onnx-dir", "x"), "--onnx-dir goes with --backend onnx or auto"),
        (2, ("sample", "vae", "--backend", "onnx", "--device", "cuda:1"), "expected auto, cpu or cuda"),
    ],
)  # fmt: skip
def test_errors_are_clear_and_nothing_is_written(work: Path, epure, code: int, argv: tuple, message: str) -> None:
    before = sorted(work.rglob("*"))
    result = epure(*(str(a).replace("{exported}", str(exported(work))) for a in argv), cwd=work)
    assert result.code == code, result.err
    assert message in result.err
    assert "Traceback" not in result.err
    assert sorted(work.rglob("*")) == before


def test_doctor_names_the_provider_that_a_session_got_and_says_nothing_else(epure_process) -> None:
    result = epure_process("doctor", "--json")
    assert result.err == "", "ONNX Runtime complains on stderr about libraries that are not there"
    session = json.loads(result.out)["facts"]["onnx session"]
    assert "CPUExecutionProvider" in session
    assert all(name in onnxruntime.get_available_providers() for name in re.findall(r"\w+ExecutionProvider", session))


def test_doctor_names_two_onnx_runtimes(epure_process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "onnxruntime_directml-9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: onnxruntime-directml\nVersion: 9.9\n", encoding="utf-8"
    )
    (info / "RECORD").write_text("onnxruntime/__init__.py,,\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    result = epure_process("doctor")
    assert result.code == 1
    assert "onnxruntime-directml" in result.err
    assert "are both installed" in result.err
