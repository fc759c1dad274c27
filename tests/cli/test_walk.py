"""Train, sample in every mode, and look at the files: through the command's entry point, for every model."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epurecli.checkpoint import read_metrics, read_run
from epurecli.config import load_config
from epurecli.data import toy
from epurecli.models.registry import REGISTRY, schema_of

FAST = ("gmrf_mvae", "mdm", "meta_vae", "vae")  # the contract tests ask the others the same without a command line
EACH = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in sorted(REGISTRY)]
MODES = {
    "unconditional": [],
    "conditional": ["--set-condition", "width_px=58"],
    "inpainting": ["--mask", "0", "--mask", "bt", "--num-posterior-samples", "2", "--keep-draws"],
    "cross-modal": ["--source-component", "group_km"],
}


def digests(folder: Path) -> dict[str, str]:
    """Every file below a folder by content; the manifest without the line-by-line checkpoint path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def pixels(folder: Path, name: str, component: str) -> np.ndarray:
    return np.asarray(Image.open(folder / component / f"{name}_{component}.png"))


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def asked() -> list:
    """Each model in each mode."""
    pairs = [(name, mode) for name in sorted(REGISTRY) for mode in MODES]
    marks = {False: pytest.mark.slow, True: ()}
    return [pytest.param(pair, id="-".join(pair), marks=marks[pair[0] in FAST]) for pair in pairs]


@pytest.fixture(scope="module", params=asked())
def drawn(request: pytest.FixtureRequest, epure, work: Path, run_of, tmp_path_factory) -> tuple[str, str, Path]:
    name, mode = request.param
    run_of(name)
    out = tmp_path_factory.mktemp("drawn") / "out"
    result = epure(
        "sample", name, "--mode", mode, *MODES[mode], "--num-samples", 20, "--seed", 5, "--out", out,
        "--backend", "torch", cwd=work,
    )  # fmt: skip
    assert result.code == 0, result.err
    assert result.out == f"samples: {out}\n"
    return name, mode, out


@pytest.mark.parametrize("name", EACH)
def test_a_run_folder_holds_what_it_should(name: str, run_of) -> None:
    run = run_of(name)
    files = {path.name for path in run.iterdir()}
    expected = {"config.yaml", "run.json", "best.safetensors", "last.safetensors", "metrics.csv", "curves.png"}
    assert expected | {"state.safetensors"} <= files
    assert not [file for file in files if "tmp" in file]
    facts = read_run(run)
    assert facts["finished"]
    assert facts["model"] == name
    assert load_config(run / "config.yaml", schema_of).data.toy.count == 160
    rows = read_metrics(run)
    assert all(np.isfinite([v for v in row.values() if isinstance(v, float)]).all() for row in rows)
    for row in rows:
        shared = {k.removeprefix("val_") for k in row if k.startswith("val_")} & {
            k.removeprefix("train_") for k in row if k.startswith("train_")
        }
        pairs = [(f"val_{k}", f"train_{k}") for k in shared]
        pairs = pairs or [("val_total", key) for key in row if key.startswith("train_")]
        assert all(row[ours] != row[theirs] for ours, theirs in pairs)
    assert Image.open(run / "curves.png").size[0] > 300


def test_sampled_files(drawn) -> None:
    _, mode, out = drawn
    rows = manifest(out)
    assert len(rows) == 20
    for component in toy.COMPONENTS:
        assert len(list((out / component).iterdir())) == 20
        image = pixels(out, rows[3]["name"], component)
        assert (image.shape, image.dtype) == ((64, 32), np.uint8)
    assert (out / "contact_sheet.png").is_file()
    assert (out / "uncertainty").is_dir() == (mode in ("inpainting", "cross-modal"))
    assert (out / "draws").is_dir() == (mode == "inpainting")


def test_the_manifest_says_how_each_design_was_made(drawn) -> None:
    name, mode, out = drawn
    seen = {"inpainting": "group_km+fpu+tpc", "cross-modal": "group_km"}.get(mode, "")
    for row in manifest(out):
        assert (row["model"], row["mode"], row["seed"], row["observed"]) == (name, mode, "5", seen)
        assert len(row["checkpoint_sha256"]) == 64
        assert row["checkpoint"].endswith("best.safetensors")
        assert row["width_px"] == ("58" if mode == "conditional" else "")
        assert (row["height_px"] != "") == (mode == "conditional")


def test_observed_components_are_the_data_bit_for_bit(drawn) -> None:
    _, mode, out = drawn
    if mode not in ("inpainting", "cross-modal"):
        return
    images, _ = toy.draw(0, 0, 160)
    for row in manifest(out):
        number = int(row["name"].removeprefix("toy_"))
        assert number % 8 == 7, "not a test design"
        for c, component in enumerate(toy.COMPONENTS):
            same = np.array_equal(pixels(out, row["name"], component), images[number, c])
            assert same == (component in row["observed"].split("+")), component


@pytest.mark.parametrize("batch_sz", [1, 7, 64])
def test_the_same_seed_gives_the_same_files_at_any_batch_size(drawn, batch_sz: int, epure, work, tmp_path) -> None:
    name, mode, out = drawn
    again = tmp_path / "again"
    result = epure(
        "sample", name, "--mode", mode, *MODES[mode], "--num-samples", 20, "--seed", 5, "--out", again,
        "--backend", "torch", "--batch-sz", batch_sz, cwd=work,
    )  # fmt: skip
    assert result.code == 0, result.err
    assert digests(again) == digests(out)


@pytest.mark.slow
def test_another_process_draws_the_same_files(drawn, epure_process, work, tmp_path) -> None:
    name, mode, out = drawn
    if mode != "inpainting":
        return
    again = tmp_path / "again"
    result = epure_process(
        "sample", name, "--mode", mode, *MODES[mode], "--num-samples", 20, "--seed", 5, "--out", again,
        "--backend", "torch", cwd=work,
    )  # fmt: skip
    assert result.code == 0, result.err
    assert digests(again) == digests(out)


def test_fewer_designs_are_the_first_ones_and_another_seed_gives_others(epure, work, tmp_path) -> None:
    common = ("sample", "vae", "--mode", "unconditional", "--backend", "torch", "--grey")
    for out, count, seed in (("many", 20, 5), ("few", 3, 5), ("other", 3, 6)):
        result = epure(*common, "--num-samples", count, "--seed", seed, "--out", tmp_path / out, cwd=work)
        assert result.code == 0, result.err
    for i in range(3):
        name = f"sample_{i:05d}"
        many, few, other = (pixels(tmp_path / out, name, "fpu") for out in ("many", "few", "other"))
        assert np.array_equal(many, few)
        assert not np.array_equal(few, other)


def test_bare_sampling_takes_the_newest_run_and_the_configs_defaults(epure, work) -> None:
    result = epure("sample", "vae", cwd=work)
    assert result.code == 0, result.err
    assert result.out.strip() == f"samples: {Path('samples') / 'vae' / 'conditional-0'}"
    assert epure("sample", "vae", cwd=work).out.strip().endswith("conditional-1")
    settings = load_config("vae_toy_test", schema_of).sampling
    assert len(manifest(work / "samples" / "vae" / "conditional-0")) == settings.num_samples


def test_a_grid_draws_every_combination(epure, work, tmp_path) -> None:
    grid = "width_px=49:57:4,height_px=45:59:7"
    out = tmp_path / "out"
    result = epure("sample", "vae", "--mode", "conditional", "--grid", grid, "--out", out, cwd=work)
    assert result.code == 0, result.err
    found = [(row["width_px"], row["height_px"]) for row in manifest(out)]
    assert found == [(w, h) for w in ("49", "53", "57") for h in ("45", "52", "59")]


def test_a_condition_outside_the_training_range_is_a_warning(epure, work, tmp_path) -> None:
    result = epure("sample", "vae", "--set-condition", "width_px=500", "--out", tmp_path / "out", cwd=work)
    assert result.code == 0, result.err
    assert "warning: width_px=500 lies outside the training range" in result.err


def test_partial_designs_are_completed(epure, work, tmp_path) -> None:
    images, _ = toy.draw(0, 0, 2)
    for prefix, parts in (("a", (1, 3)), ("b", (1, 2, 3, 4))):
        for c in parts:
            component = toy.COMPONENTS[c]
            (tmp_path / "given" / component).mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[0, c]).save(tmp_path / "given" / component / f"{prefix}_{component}.png")
    out = tmp_path / "out"
    result = epure("sample", "vae", "--mode", "inpainting", "--input", tmp_path / "given", "--out", out, cwd=work)
    assert result.code == 0, result.err
    assert {row["name"]: row["observed"] for row in manifest(out)} == {
        "a": "group_km+fpu", "b": "group_km+bt+fpu+tpc",
    }  # fmt: skip
    assert np.array_equal(pixels(out, "a", "fpu"), images[0, 3])


def test_a_design_of_which_nothing_is_observed_is_refused(epure, work, tmp_path) -> None:
    for prefix, component in (("a", "group_km"), ("lonely", "group_nc")):
        folder = tmp_path / "given" / component
        folder.mkdir(parents=True)
        Image.fromarray(np.zeros((64, 32), np.uint8)).save(folder / f"{prefix}_{component}.png")
    out = tmp_path / "out"
    result = epure(
        "sample", "vae", "--mode", "inpainting", "--mask", 0, "--input", tmp_path / "given", "--out", out, cwd=work
    )
    assert result.code == 2
    assert "lonely" in result.err
    assert not out.exists()


# --- any folder of designs --------------------------------------------------------------------------------------------


def test_a_folder_from_the_wild_trains_and_samples(epure, wild: Path, tmp_path: Path) -> None:
    common = ("--config", "vae_toy_test", "--set", "training.epochs=1")
    result = epure("train", "vae", *common, "--data", wild, cwd=tmp_path)
    assert result.code == 0, result.err
    facts = read_run(next((tmp_path / "outputs" / "vae").iterdir()))
    assert facts["components"] == ["carcass", "crown", "wall"]
    for mode, options in (("unconditional", []), ("conditional", []), ("inpainting", ["--mask", "crown"])):
        result = epure("sample", "vae", "--mode", mode, *options, "--num-samples", 4, "--out", mode, cwd=tmp_path)
        assert result.code == 0, result.err
        assert len(list((tmp_path / mode / "crown").iterdir())) == 4
    for row in manifest(tmp_path / "inpainting"):
        source = np.asarray(Image.open(wild / "test" / "wall" / f"{row['name']}_wall.png").convert("L"))
        assert np.array_equal(pixels(tmp_path / "inpainting", row["name"], "wall"), source)


@pytest.mark.parametrize("name", EACH)
def test_another_number_of_components_needs_no_config_of_its_own(name: str, epure, wild, tmp_path) -> None:
    result = epure("train", name, "--config", f"{name}_toy_test", "--data", wild, cwd=tmp_path)
    assert result.code == 0, result.err
    run = next((tmp_path / "outputs" / name).iterdir())
    assert json.loads((run / "run.json").read_text())["components"] == ["carcass", "crown", "wall"]


def test_weights_of_another_run_can_be_started_from(epure, work, tmp_path) -> None:
    (run,) = (work / "outputs" / "vae").iterdir()
    common = ("train", "vae", "--config", "vae_toy_test", "--set", "data.toy.count=160", "--set", "training.epochs=1")
    warm = epure(*common, "--init-from", run, "--out", tmp_path / "warm", cwd=tmp_path)
    cold = epure(*common, "--out", tmp_path / "cold", cwd=tmp_path)
    assert (warm.code, cold.code) == (0, 0), warm.err + cold.err
    losses = [read_metrics(next((tmp_path / kind).iterdir()))[0]["train_elbo"] for kind in ("warm", "cold")]
    assert losses[0] < losses[1]
