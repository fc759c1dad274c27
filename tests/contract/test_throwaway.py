"""The two throw-away models from end to end, through the entry point: train, resume, sample, evaluate, export,
ranks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from throwaway import FOLDER, THROWAWAY, config_file

from epurecli.checkpoint import load_model, load_tensors, read_metrics, read_run, save_tensors
from epurecli.export.runtime import OnnxSampler
from epurecli.models.iterative import nothing_observed, solve
from epurecli.sample.noise import design_noise
from epurecli.types import Query

pytestmark = pytest.mark.slow  # two minutes of processes; the contract tests beside this file ask the same in one

MAIN = """
import sys
sys.path.insert(0, {tests!r})
from throwaway import registered
from epurecli.cli import main
with registered():
    main()
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess]:
    """`epure` with the two models registered, in a process of its own: a script, so that ranks start it again."""
    folder = tmp_path_factory.mktemp("throwaway")
    script = folder / "epure.py"
    script.write_text(MAIN.format(tests=str(FOLDER.parent)))

    def run(*argv: object, code: int = 0) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [sys.executable, str(script), *map(str, argv)], cwd=folder, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == code, done.stderr
        return done

    run.folder = folder
    return run


@pytest.fixture(scope="module", params=sorted(THROWAWAY))
def run(request: pytest.FixtureRequest, command) -> tuple[str, Path]:
    """(model, its trained run)."""
    name = request.param
    done = command("train", name, "--config", config_file(name))
    return name, command.folder / done.stdout.split("run: ")[1].strip()


def images(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.glob("*/*.png"))}


def test_train_sample_evaluate_export(run, command) -> None:
    name, folder = run
    assert read_run(folder)["finished"]
    assert (folder / "curves.png").stat().st_size > 5000
    command("export", name, "--onnx", "--checkpoint", folder, "--out", f"onnx/{name}")
    command("sample", name, "--mode", "conditional", "--set-condition", "width_px=58", "--out", f"s/{name}-torch")
    graphs = ("--backend", "onnx", "--onnx-dir", f"onnx/{name}")
    command(
        "sample", name, "--mode", "conditional", "--set-condition", "width_px=58", "--out", f"s/{name}-onnx", *graphs
    )
    ours, theirs = images(command.folder / f"s/{name}-torch"), images(command.folder / f"s/{name}-onnx")
    assert ours.keys() == theirs.keys()
    assert len(ours) == 8 * 5
    for key in ours:
        one, other = (
            np.asarray(Image.open(command.folder / f"s/{name}-{b}" / key), np.int16) for b in ("torch", "onnx")
        )
        assert np.abs(one - other).max() <= 1, key
    told = command("evaluate", name, "--num-samples", 20, "--out", f"r/{name}").stdout
    assert ("observed untouched" in told) == (name == "tiny_tokens"), "judged on modes that it does not have"


def test_a_mode_that_a_model_lacks_is_refused(run, command) -> None:
    name, _ = run
    code = 2 if name == "tiny_gan" else 0
    done = command("sample", name, "--mode", "inpainting", "--mask", "bt", "--out", f"s/{name}-inpainted", code=code)
    if code:
        assert "tiny_gan has no mode 'inpainting'" in done.stderr
    assert (command.folder / f"s/{name}-inpainted").exists() == (code == 0)


def test_stopped_and_resumed_it_is_the_same_run(run, command) -> None:
    name, whole = run
    script = [sys.executable, "epure.py", "train", name, "--config", str(config_file(name)), "--out", f"stopped/{name}"]
    process = subprocess.Popen(script, cwd=command.folder, stderr=subprocess.PIPE, text=True)
    while "epoch   1" not in (line := process.stderr.readline()):
        assert line, "ended too early"
    process.terminate()
    process.communicate(timeout=60)
    (folder,) = (command.folder / f"stopped/{name}").iterdir()
    if not read_run(folder)["finished"]:
        command("train", name, "--resume", folder)
    digests = [load_tensors(f / "best.safetensors")[1]["sha256"] for f in (whole, folder)]
    assert digests[0] == digests[1]


def test_two_ranks_train_as_one(run, command) -> None:
    name, alone = run
    done = command("train", name, "--config", config_file(name), "--devices", 2, "--out", f"two/{name}")
    shared = command.folder / done.stdout.split("run: ")[1].strip()
    for row, other in zip(read_metrics(alone), read_metrics(shared), strict=True):
        for key in row.keys() - {"stage", "seconds", "designs_per_s"}:
            assert other[key] == pytest.approx(row[key], rel=2e-3, abs=2e-3), key
    assert read_run(shared)["host"]["processes"] == 2


def test_a_score_and_the_steps_of_each_objective(run) -> None:
    name, folder = run
    rows = read_metrics(folder)
    if name == "tiny_gan":
        assert {"train_critic", "train_generator", "val_total"} <= rows[-1].keys()
        batches = -(-read_run(folder)["data"]["train"] // 16)
        assert rows[-1]["step"] == 2 * batches * (3 + 1)


def test_tied_weights_are_saved_once_and_come_back(run, tmp_path: Path) -> None:
    name, folder = run
    if name != "tiny_gan":
        return
    tensors, facts = load_tensors(folder / "best.safetensors")
    assert facts["tied"] == '{"verdict_of_noise.weight": "verdict.weight"}'
    assert torch.equal(tensors["verdict.weight"], tensors["verdict_of_noise.weight"])
    model = load_model(folder).model
    assert model.verdict.weight is model.verdict_of_noise.weight
    whole = torch.arange(12.0)
    save_tensors(tmp_path / "views.safetensors", {"whole": whole, "part": whole[3:5]}, {})
    assert load_tensors(tmp_path / "views.safetensors")[0]["part"].tolist() == [3, 4]


def test_the_solver_can_be_driven_by_onnx_runtime(run, command) -> None:
    name, folder = run
    if name != "tiny_tokens":
        return
    out = command.folder / "onnx" / "network"
    command("export", name, "--onnx", "--checkpoint", folder, "--out", out, "--overwrite")
    model, sampler = load_model(folder).model, OnnxSampler(out, cuda=False, threads=1)
    session = sampler.session("network")

    def network(state, time, condition, present, mask):
        feeds = {"state": state, "time": time, "condition": condition, "present": present, "mask": mask}
        return torch.from_numpy(session.run(None, {k: v.numpy() for k, v in feeds.items()})[0])

    query = Query(torch.zeros(4, 2), torch.ones(4, 1))
    for guidance in (1.0, 2.0):
        drawn = [
            solve(net, model.process, query, design_noise(3, 0, 4, 1)[0], steps=7, guidance=guidance)
            for net in (model.network, network)
        ]
        assert torch.equal(*drawn)
    assert not nothing_observed(query, 5).any()


def test_steps_and_guidance_are_chosen_when_sampling(run, command) -> None:
    name, _ = run
    if name != "tiny_tokens":
        return
    drawn = []
    for steps in (4, 9):
        command(
            "sample", name, "--mode", "unconditional", "--set", f"sampling.steps={steps}", "--out", f"s/steps-{steps}"
        )
        drawn.append(images(command.folder / f"s/steps-{steps}"))
    assert drawn[0] != drawn[1]
    refused = command("sample", name, "--set", "training.lr=1", code=2).stderr
    assert "takes sampling.KEY=VALUE only" in refused
