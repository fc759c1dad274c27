"""Every bad input ends in one screen that names what is wrong, with the right exit code and nothing written.

`EPURE_FAULTS=FILE pytest tests/cli/test_faults.py` writes what was tried and what was said: docs/faults.md.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def listing(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


@pytest.fixture
def fails(epure, work: Path, tmp_path: Path) -> Callable[..., str]:
    """Run a command that must fail; checks form, code and that nothing was written; returns what it said."""

    def run(code: int, *argv: object, cwd: Path | None = None) -> str:
        folders = (cwd or work, tmp_path)
        before = [listing(folder) for folder in folders]
        result = epure(*argv, cwd=folders[0])
        said = result.err
        assert result.code == code, said
        assert result.out == ""
        assert "Traceback" not in said
        assert "unexpected" not in said
        assert len(said.splitlines()) <= 24
        assert [listing(folder) for folder in folders] == before, "something was written"
        words = re.sub(r"[\s│╭╮╰╯─]+", " ", said)  # typer draws a box around usage errors
        record(code, argv, words.strip(), *folders)
        return words

    return run


def record(code: int, argv: tuple[object, ...], words: str, *folders: Path) -> None:
    """A row of the table, where one is asked for."""
    if "EPURE_FAULTS" not in os.environ:
        return
    words = words[words.find("error: ") :] if "error: " in words else re.sub("^.*? Error ", "", words)
    cells = [" ".join(map(str, argv)), words[:300]]
    for shown in (*(str(folder) + os.sep for folder in folders), r"/\S+/pytest-\S+?/"):
        cells = [re.sub(shown, "", cell) for cell in cells]
    cells = [re.sub(r"\d{8}-\d{6}-\d", "RUN", cell).replace("|", "\\|").replace("<", "&lt;") for cell in cells]
    with Path(os.environ["EPURE_FAULTS"]).open("a", encoding="utf-8") as file:
        file.write(f"| {code} | `{cells[0]}` | {cells[1]} |\n")


TRAIN = ("train", "vae", "--config", "vae_toy_test")
SAMPLE = ("sample", "vae", "--mode")
COMPARE = ("compare", "--train")
HIDE_ALL = tuple(word for c in range(5) for word in ("--mask", str(c)))


@pytest.mark.parametrize(
    ("code", "argv", "message"),
    [
        (2, ("train", "vea"), "error: no model 'vea' - did you mean 'vae'?"),
        (2, ("sample", "vea"), "no model 'vea' - did you mean 'vae'?"),
        (2, ("count-params", "vea"), "no model 'vea'"),
        (2, ("train",), "Missing argument"),
        (2, ("trian", "vae"), "No such command"),
        (2, ("train", "vae", "--batchsize", "3"), "No such option"),
        (4, ("train", "vae", "--config", "vae_tyo"), "no config 'vae_tyo'"),
        (2, (*TRAIN, "--set", "training.epochs=-3"), "training.epochs: input should be greater than or equal to 1"),
        (2, (*TRAIN, "--set", "training.epoch=3"), "training.epoch: unknown key - did you mean 'epochs'?"),
        (2, (*TRAIN, "--set", "training.lr"), "--set training.lr: expected section.key=value"),
        (2, (*TRAIN, "--set", "model.cond_dim=3"), "model.cond_dim is 3, but data.condition_columns names 2"),
        (2, (*TRAIN, "--set", "data.component_dirs=[bt, wing]"), "the toy set has no component 'wing'"),
        (2, (*TRAIN, "--set", "data.condition_columns=[mass]"), "the toy set has no condition 'mass'"),
        (2, (*TRAIN, "--set", "model.image_size=[32, 32]"), "the images are 64x32, but model.image_size is 32x32"),
        (2, (*TRAIN, "--seed", "-1"), "training.seed"),
        (2, (*TRAIN, "--seed", str(10**30)), "training.seed"),
        (2, (*TRAIN, "--budget", "soon"), "--budget soon: expected a time such as 180s"),
        (2, (*TRAIN, "--budget", "-3m"), "--budget -3m: expected a time"),
        (2, (*TRAIN, "--device", "tpu"), "device 'tpu'"),
        (2, (*TRAIN, "--device", "gpu"), "no device 'gpu'"),
        (2, ("train", "vae", "--config", "gmrf_mvae_toy_test"), "configures a gmrf_mvae, not a vae"),
        (4, (*TRAIN, "--data", "no/such/folder"), "data folder no/such/folder does not exist"),
        (4, (*TRAIN, "--init-from", "no-run"), "no-run"),
        (4, ("train", "vae", "--resume", "no-run"), "no-run: not a run folder"),
        (2, ("train", "vae", "--resume", "x", "--set", "training.lr=1"), "--set cannot be given with it"),
        (2, ("train", "vae", "--resume", "x", "--budget", "3m"), "--budget cannot be given with it"),
        (2, (*SAMPLE, "conditionnal"), "no mode 'conditionnal' - did you mean 'conditional'?"),
        (2, (*SAMPLE, "inpainting", "--mask", "7"), "no component '7'"),
        (2, (*SAMPLE, "inpainting", "--mask", "-1"), "no component '-1'"),
        (2, (*SAMPLE, "inpainting", "--mask", "²"), "no component '²'"),
        (2, (*SAMPLE, "inpainting", "--mask", "group_n"), "no component 'group_n' - did you mean 'group_nc'?"),
        (2, (*SAMPLE, "inpainting", *HIDE_ALL), "every component is hidden"),
        (2, (*SAMPLE, "inpainting", "--source-component", "0"), "belong to --mode cross-modal"),
        (2, (*SAMPLE, "cross-modal", "--mask", "0"), "--mask belongs to --mode inpainting"),
        (2, (*SAMPLE, "cross-modal", "--source-component", "bt", "--target-component", "2"), "bt is both"),
        (2, (*SAMPLE, "unconditional", "--mask", "0"), "--mask: only for --mode inpainting"),
        (2, (*SAMPLE, "unconditional", "--keep-draws"), "--keep-draws: only for"),
        (2, (*SAMPLE, "unconditional", "--set-condition", "width_px=58"), "takes no conditions"),
        (2, (*SAMPLE, "conditional", "--set-condition", "widht_px=58"), "did you mean 'width_px'?"),
        (2, (*SAMPLE, "conditional", "--set-condition", "width_px=wide"), "'wide' is not a finite number"),
        (2, (*SAMPLE, "conditional", "--grid", "width_px=9:1:1"), "start <= stop"),
        (2, (*SAMPLE, "conditional", "--grid", "width_px=1", "--set-condition", "width_px=58"), "exclude each other"),
        (4, (*SAMPLE, "conditional", "--conditions-csv", "no.csv"), "no.csv does not exist"),
        (4, (*SAMPLE, "inpainting", "--input", "no-folder"), "no-folder"),
        (4, (*SAMPLE, "inpainting", "--data", "no-folder"), "no-folder"),
        (4, ("sample", "vae", "--checkpoint", "no-run"), "no-run: no such run or checkpoint"),
        (4, ("sample", "vae", "--runs", "no-runs"), "no finished run of vae under no-runs"),
        (2, ("sample", "vae", "--which", "newest"), "--which newest: expected best or last"),
        (2, ("sample", "vae", "--format", "gif"), "--format gif: expected png or npz"),
        (2, (*SAMPLE, "conditional", "--open", "mean"), "--open mean: expected draw or expect"),
        (2, (*TRAIN, "--set", "model.latent_dim=1000000000"), "a vae of these sizes takes"),
        (
            2,
            ("train", "meta_vae", "--config", "meta_vae_toy_test", "--set", "paths.pretrained_dir=/elsewhere"),
            "paths.pretrained_dir: names a folder within the run's own",
        ),
        (2, ("sample", "vae", "--num-samples", "0"), "greater than or equal to 1"),
        (2, ("sample", "vae", "--batch-sz", "0"), "greater than or equal to 1"),
        (2, ("sample", "vae", "--seed", str(10**30)), "less than or equal to 9223372036854775807"),
        (2, ("sample", "vae", "--num-samples", "many"), "valid integer"),
        (2, ("sample", "vae", "--out", "outputs"), "outputs"),
        (2, ("data", "make-toy", "outputs"), "outputs exists and is not empty"),
        (2, ("data", "make-toy", "new", "--count", "3"), "greater than or equal to 10"),
        (4, ("data", "check", "no-folder"), "no-folder does not exist"),
        (4, ("data", "describe", "no-folder"), "no-folder does not exist"),
        (2, (*COMPARE, "vea"), "no model 'vea' - did you mean 'vae'?"),
        (4, (*COMPARE, "no.yaml"), "no config 'no.yaml': neither a file nor a shipped config"),
        (2, (*COMPARE, "vae_toy_test", "--set", "training.epoch=3"), "unknown key - did you mean 'epochs'?"),
        (2, (*COMPARE, "vae_toy_test", "vae_toy_test"), "vae_toy_test is named twice"),
        (2, (*COMPARE, "vae", "vae_toy", "--set", "data.toy.count=160"), "vae and vae_toy are the same config"),
        (2, (*COMPARE, "vae_toy_test", "--seeds", "0,1,0"), "--seeds 0,1,0: expected different whole numbers"),
        (2, (*COMPARE, "vae_toy_test", "--seeds", "one"), "--seeds one: expected different whole numbers"),
        (2, (*COMPARE, "vae_toy_test", "--seeds", f"0,{10**30}"), "training.seed"),
        (2, (*COMPARE, "vae_toy_test", "--budget", "soon"), "--budget soon: expected a time"),
        (4, (*COMPARE, "vae_toy_test", "--data", "no-folder"), "data folder no-folder does not exist"),
        (2, (*COMPARE, "vae_toy_test", "--jobs", "0"), "greater than or equal to 1"),
        (2, (*COMPARE, "vae_toy_test", "--device", "tpu"), "no device 'tpu'"),
        (2, (*COMPARE, "wgan_gp_toy_test", "--nll"), "wgan_gp_toy_test has no bound on the likelihood"),
        (2, (*COMPARE, "vae_toy_test", "--out", "outputs"), "outputs: holds something already"),
        (2, ("compare", "vae", "vae"), "vae is named twice"),
        (2, ("compare", "vae", "--budget", "3m", "--jobs", "2"), "--budget, --jobs: only with --train"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_bad_arguments(fails, code: int, argv: tuple[str, ...], message: str) -> None:
    assert message in fails(code, *argv)


@pytest.mark.parametrize(("command", "hint"), [("train", "cpu"), ("sample", "cpu")])
def test_a_device_that_is_not_there(fails, command: str, hint: str) -> None:
    import torch

    device = f"cuda:{torch.cuda.device_count()}"
    options = ["--config", "vae_toy_test"] if command == "train" else ["--mode", "unconditional"]
    assert device in fails(3, command, "vae", *options, "--device", device)


def test_nothing_trained_yet(fails, tmp_path: Path) -> None:
    said = fails(4, "sample", "vae", cwd=tmp_path)
    assert "no finished run of vae under outputs/vae" in said.replace("\\", "/")
    assert "hint: train one: epure train vae" in said


# --- configs ----------------------------------------------------------------------------------------------------------


def test_a_typo_in_a_file_names_file_line_key_and_the_nearest(fails, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = (Path(__file__).parents[2] / "configs" / "vae_toy_test.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("batch_size:", "batchsize:"), encoding="utf-8")
    line = 1 + text.splitlines().index("  batch_size: 32")
    said = fails(2, "train", "vae", "--config", path)
    assert f"{path}:{line}: training.batchsize: unknown key - did you mean 'batch_size'?" in said


def test_a_file_that_is_no_yaml(fails, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model: [1\ndata: 3\n", encoding="utf-8")
    assert f"{path}:2: not valid YAML" in fails(2, "train", "vae", "--config", path)
    path.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in fails(2, "train", "vae", "--config", path)


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def broken_run(work: Path, tmp_path: Path) -> Path:
    (run,) = (work / "outputs" / "vae").iterdir()
    return Path(shutil.copytree(run, tmp_path / "run"))


def test_damaged_checkpoints(fails, broken_run: Path) -> None:
    path = broken_run / "best.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    said = fails(4, "sample", "vae", "--checkpoint", broken_run)
    assert "best.safetensors: truncated" in said
    assert "--which best|last" in said
    path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    assert "do not match its checksum" in fails(4, "sample", "vae", "--checkpoint", broken_run)
    path.unlink()
    assert "best.safetensors: no such checkpoint" in fails(4, "sample", "vae", "--checkpoint", broken_run)
    (broken_run / "run.json").write_text("{", encoding="utf-8")
    assert "run.json: not readable" in fails(4, "sample", "vae", "--checkpoint", broken_run)
    (broken_run / "run.json").unlink()
    assert "not a run folder" in fails(4, "sample", "vae", "--checkpoint", broken_run)


def test_runs_that_do_not_fit(fails, work: Path, broken_run: Path) -> None:
    (other,) = (work / "outputs" / "gmrf_mvae").iterdir()
    assert "holds a gmrf_mvae, not a vae" in fails(2, "sample", "vae", "--checkpoint", other)
    assert "is a run of gmrf_mvae, not of vae" in fails(2, "train", "vae", "--resume", other)
    weights = other / "best.safetensors"
    assert "of this vae" in fails(4, *TRAIN, "--init-from", weights)
    (broken_run / "state.safetensors").unlink()
    assert "no state.safetensors to resume from" in fails(4, "train", "vae", "--resume", broken_run)


def test_data_that_changed_since_the_run_began(fails, broken_run: Path) -> None:
    config = broken_run / "config.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace("count: 160", "count: 168"), encoding="utf-8")
    assert "the data has changed since this run began" in fails(2, "train", "vae", "--resume", broken_run)


def test_a_run_that_another_command_goes_on_with(fails, broken_run: Path) -> None:
    from epurecli.files import Lock

    with Lock(broken_run / ".lock", "the run"):
        said = fails(2, "train", "vae", "--resume", broken_run)
    assert f"run is in use by process {os.getpid()} on" in said
    assert "wait for it to end" in said


# --- data -------------------------------------------------------------------------------------------------------------

FIRST, SECOND = "train/carcass/tyre_000_carcass.png", "train/wall/tyre_001_wall.png"


def delete(root: Path) -> None:
    for path in root.rglob("tyre_000_*.png"):
        path.unlink()


def truncate(root: Path) -> None:
    data = (root / FIRST).read_bytes()
    (root / FIRST).write_bytes(data[: len(data) // 2])


def overwrite(root: Path) -> None:
    (root / FIRST).write_text("no picture")


def resize(root: Path) -> None:
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(root / FIRST)


def edit(old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = root / "performances.csv"
        text = path.read_text(encoding="utf-8")
        assert re.search(old, text)
        path.write_text(re.sub(old, new, text), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (delete, f"{FIRST} (row 2): is missing, as are its others"),
        (truncate, f"{FIRST} (row 2)"),
        (overwrite, f"{FIRST} (row 2)"),
        (resize, f"{FIRST} (row 2)"),
        (edit(r"height_px", "depth"), "height_px"),
        (edit(r"tyre_002,\d+", "tyre_002,"), "performances.csv (row 4)"),
        (edit(r"tyre_002,\d+", "tyre_002,wide"), "performances.csv (row 4)"),
        (edit("tyre_002", "tyre_001"), "tyre_001"),
        (edit("tyre_002", "../../tyre_002"), "../../tyre_002"),
        (edit("False", "True"), "is for training, its images lie in test/"),
        (edit("tyre_", "wheel_"), "is missing, as are its others"),
    ],
    ids=[
        "missing",
        "truncated",
        "no-picture",
        "size",
        "column",
        "nan",
        "text",
        "twice",
        "outside",
        "split",
        "prefixes",
    ],
)
def test_a_faulty_data_set_is_refused(fails, designs: Path, change: Callable[[Path], None], message: str) -> None:
    change(designs)
    named = ("--set", "data.condition_columns=[width_px, height_px]")
    assert message in fails(2, *TRAIN, "--data", designs, *named)


def test_every_fault_in_one_pass(epure, designs: Path) -> None:
    delete(designs)
    (designs / SECOND).write_bytes(b"no picture")
    edit(r"tyre_002,\d+", "tyre_002,wide")(designs)
    result = epure("data", "check", designs, "--json")
    assert result.code == 1
    problems = json.loads(result.out)["problems"]
    assert {(p["file"], p["row"]) for p in problems} == {(FIRST, 2), (SECOND, 3), ("performances.csv", 4)}
    assert all(p["what"] and p["hint"] for p in problems)


def test_a_good_data_set_has_no_problems(epure, wild: Path) -> None:
    result = epure("data", "check", wild)
    assert (result.code, result.out) == (0, "no problems: 24 designs, 72 images\n")


def test_sampling_with_data_that_does_not_fit(fails, wild: Path, designs: Path, work: Path, epure) -> None:
    said = fails(2, *SAMPLE, "inpainting", "--data", wild)
    assert "there is no folder group_nc (nor train/group_nc)" in said


def test_sampling_with_images_of_another_size(fails, tmp_path: Path) -> None:
    for component in ("group_nc", "group_km", "bt", "fpu", "tpc"):
        folder = tmp_path / "given" / component
        folder.mkdir(parents=True)
        for i in range(2):
            Image.fromarray(np.zeros((32, 32), np.uint8)).save(folder / f"d{i}_{component}.png")
    csv = "matching,train,width_px,height_px\nd0,True,3,4\nd1,False,5,6\n"
    (tmp_path / "given" / "performances.csv").write_text(csv)
    assert "32 x 32" in fails(2, *SAMPLE, "inpainting", "--input", tmp_path / "given")
    named = tmp_path / "given"
    assert "32x32 (height x width); the model was trained on 64x32" in fails(2, *SAMPLE, "inpainting", "--data", named)


def test_a_loss_that_leaves_the_numbers(epure, tmp_path: Path) -> None:
    result = epure(*TRAIN, "--set", "training.lr=1e20", "--set", "training.warmup_steps=0", cwd=tmp_path)
    assert result.code == 5
    assert "error: vae, epoch 1, step" in result.err
    assert "try a smaller training.lr" in result.err
    assert "Traceback" not in result.err
