"""A run in a notebook: the bits of the command line, its errors, and conditions as keywords."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import epurecli as epure
from epurecli.errors import CheckpointError, DataError, NotFound, UnsupportedMode, UsageError


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# --- finding ----------------------------------------------------------------------------------------------------------


def test_a_run_is_found_by_name_folder_or_file(run: epure.Run, work: Path) -> None:
    (folder,) = (work / "outputs" / "vae").iterdir()
    assert run.path.resolve() == folder.resolve()
    for what in (folder, str(folder), folder / "best.safetensors"):
        assert epure.load(what).trained.digest == run.trained.digest
    last = epure.load(folder, which="last")
    assert last.trained.path.name == "last.safetensors"


def test_what_is_not_there_is_said(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match=r"no finished run of vae under outputs.vae") as caught:
        epure.load("vae")
    assert "epure train vae" in caught.value.hint
    with pytest.raises(NotFound, match="no such run"):
        epure.load("outputs/vea")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="not a run folder"):
        epure.load(tmp_path / "empty")
    with pytest.raises(UsageError, match="expected best or last"):
        epure.load(tmp_path, which="newest")


def test_what_a_run_says_of_itself(run: epure.Run) -> None:
    assert (run.model, run.components) == ("vae", ("group_nc", "group_km", "bt", "fpu", "tpc"))
    assert "inpainting" in run.modes
    assert list(run.conditions.columns) == ["minimum", "maximum"]
    assert (run.conditions.minimum <= run.conditions.maximum).all()
    assert str(run.path) in repr(run)
    assert "width_px" in run._repr_html_()


# --- the bits of the command line -------------------------------------------------------------------------------------


def test_unconditional_designs_are_those_of_the_command(
    run: epure.Run, work: Path, tmp_path: Path, epure_command
) -> None:
    out = epure_command("unconditional", "--num-samples", 21, "--seed", 7)
    assert digests(run.sample(21, mode="unconditional", seed=7).save(tmp_path / "api")) == digests(out)


@pytest.mark.parametrize("form", ["png", "npz"])
def test_conditional_designs_are_those_of_the_command(run: epure.Run, tmp_path: Path, epure_command, form: str) -> None:
    out = epure_command(
        "conditional", "--num-samples", 20, "--set-condition", "width_px=58", "--grey", "--format", form
    )
    found = run.sample(20, width_px=58, crisp=False)
    assert digests(found.save(tmp_path / "api", format=form)) == digests(out)


def test_conditional_designs_at_the_test_designs_conditions(run: epure.Run, tmp_path: Path, epure_command) -> None:
    out = epure_command("conditional", "--num-samples", 9)
    assert digests(run.sample(9, mode="conditional").save(tmp_path / "api")) == digests(out)


def test_completions_are_those_of_the_command(run: epure.Run, tmp_path: Path, epure_command) -> None:
    out = epure_command(
        "inpainting", "--num-samples", 18, "--mask", "group_nc", "--mask", "bt",
        "--num-posterior-samples", 3, "--keep-draws", "--seed", 2,
    )  # fmt: skip
    found = run.complete(run.test[:18].without("group_nc", "bt"), draws=3, seed=2)
    assert digests(found.save(tmp_path / "api")) == digests(out)


def test_cross_modal_designs_are_those_of_the_command(run: epure.Run, epure_command) -> None:
    out = epure_command("cross-modal", "--num-samples", 18, "--source-component", "fpu", "--num-posterior-samples", 2)
    found = run.complete(run.test[:18].only("fpu"), draws=2, keep_draws=False)
    written = epure.read(out, run.components)
    assert found.draws is None
    assert np.array_equal(found.images, written.images)
    assert np.array_equal(np.rint(found.spread * 510), np.rint(written.spread * 510))


def test_own_drawings_are_completed_as_by_the_command(run: epure.Run, tmp_path: Path, epure_command) -> None:
    run.test[:3].only("fpu", "group_km").reordered(["fpu", "group_km"]).save(tmp_path / "own")
    for other in ("manifest.csv", "contact_sheet.png"):
        (tmp_path / "own" / other).unlink()
    out = epure_command("inpainting", "--input", tmp_path / "own", "--num-posterior-samples", 2)
    found = run.complete(epure.read(tmp_path / "own"), draws=2)
    assert np.array_equal(found.images, epure.read(out, run.components).images)


def test_through_onnx_runtime(run: epure.Run, tmp_path: Path, epure_command) -> None:
    folder = run.export()
    assert (folder / "manifest.json").is_file()
    assert folder.parts[:2] == ("onnx", "vae")
    out = epure_command("unconditional", "--num-samples", 20, "--backend", "onnx")
    found = run.sample(20, mode="unconditional", backend="onnx")
    assert digests(found.save(tmp_path / "api")) == digests(out)
    with pytest.raises(UsageError, match="is not empty"):
        run.export(folder)


@pytest.fixture
def epure_command(epure, work: Path, tmp_path: Path):
    """`epure sample vae --mode MODE ...` in the runs' folder; returns what it wrote."""

    def sample(mode: str, *options: object) -> Path:
        out = tmp_path / "command"
        result = epure("sample", "vae", "--mode", mode, *options, "--out", out, cwd=work)
        assert result.code == 0, result.err
        return out

    return sample


# --- conditions and completions ---------------------------------------------------------------------------------------


def test_a_range_gives_each_design_a_value_of_its_own(run: epure.Run) -> None:
    many, few = run.sample(40, width_px=(50, 60), seed=3), run.sample(12, width_px=(50, 60), seed=3)
    width = many.conditions["width_px"]
    assert width.between(50, 60).all()
    assert width.nunique() == 40
    assert width.std() > 1
    assert np.array_equal(width[:12], few.conditions["width_px"])
    assert np.array_equal(many.images[:12], few.images)
    assert not np.array_equal(width, run.sample(40, width_px=(50, 60), seed=4).conditions["width_px"])
    both = run.sample(40, width_px=(50, 60), height_px=(50, 60), seed=3).conditions
    assert np.array_equal(both["width_px"], width)
    assert abs(np.corrcoef(both["width_px"], both["height_px"])[0, 1]) < 0.5


def test_conditions_may_be_listed_or_come_from_other_designs(run: epure.Run) -> None:
    listed = run.sample(width_px=[52, 55, 58], height_px=50)
    assert listed.conditions.to_numpy().tolist() == [[52, 50], [55, 50], [58, 50]]
    again = run.sample(conditions=listed.conditions)
    assert np.array_equal(again.images, listed.images)
    with pytest.raises(UsageError, match="3 values for 4 designs"):
        run.sample(4, width_px=[52, 55, 58])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda run: run.sample(2, widht_px=58), UsageError, "no condition 'widht_px' - did you mean 'width_px'?"),
        (lambda run: run.sample(2, width_px="wide"), UsageError, "'wide' is not a finite number"),
        (lambda run: run.sample(2, width_px=float("nan")), UsageError, "not a finite number"),
        (lambda run: run.sample(2, width_px=(60, 50)), UsageError, r"expected a range \(low, high\)"),
        (lambda run: run.sample(2, width_px=(1, 2, 3)), UsageError, r"expected a range \(low, high\)"),
        (lambda run: run.sample(2, conditions={"width_px": 5}, width_px=5), UsageError, "given twice"),
        (lambda run: run.sample(2, mode="conditionnal"), UsageError, "did you mean 'conditional'?"),
        (lambda run: run.sample(2, mode="inpainting"), UsageError, "completes designs"),
        (lambda run: run.sample(2, mode="unconditional", width_px=58), UsageError, "takes no conditions"),
        (lambda run: run.complete(run.test[:2]), DataError, "every design is complete"),
        (lambda run: run.test[:2].only("group_n"), UsageError, "did you mean 'group_nc'?"),
        (lambda run: run.test[:2].without(*range(5)), UsageError, "nothing of a design would be given"),
        (lambda run: run.test[:2].without(7), UsageError, "no component '7'"),
    ],
)
def test_what_cannot_be_is_said(run: epure.Run, call, error, message: str) -> None:
    with pytest.raises(error, match=message.replace("?", r"\?") if "?" in message else message):
        call(run)


def test_a_condition_outside_the_training_range_is_a_warning(run: epure.Run) -> None:
    with pytest.warns(UserWarning, match="width_px=500 lies outside the training range"):
        run.sample(1, width_px=500)


def test_what_is_given_stays_bit_for_bit(run: epure.Run) -> None:
    drawn = run.sample(4, width_px=58, crisp=False)
    found = run.complete(drawn[0].only("fpu", "group_km"), draws=10)
    assert found.draws.shape == (1, 10, 5, 64, 32)
    for name in ("fpu", "group_km"):
        c = run.components.index(name)
        assert np.array_equal(found.images[0, c], drawn.images[0, c])
        assert (found.draws[0, :, c] == drawn.images[0, c]).all()
        assert found.spread[0, c].max() < 1e-6
    assert found.given.tolist() == [[False, True, False, True, False]]
    assert found.spread[0, 0].max() > 0
    assert np.array_equal(found.truth, drawn[0].images)
    reordered = drawn[0].only("fpu", "group_km").reordered(["fpu", "group_km"])
    assert np.array_equal(run.complete(reordered, draws=10).images, found.images)


@pytest.mark.slow
def test_evaluate_gives_the_report_of_the_command(run: epure.Run, epure, work: Path, tmp_path: Path) -> None:
    from epurecli.evaluate import read_reports

    result = epure("evaluate", "vae", "--num-samples", 30, "--out", tmp_path / "report", cwd=work)
    assert result.code == 0, result.err
    (written,) = read_reports(tmp_path / "report")
    report = run.evaluate(num_samples=30)
    assert [m.key for m in report.metrics] == [m.key for m in written.metrics]
    assert repr(report["validity", "one object"].value) == repr(written["validity", "one object"].value)


def test_training_leaves_the_callers_generator_and_a_run_like_the_commands(
    epure, work: Path, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    import epurecli

    torch.manual_seed(3)
    before = torch.get_rng_state()
    run = epurecli.train("vae_toy_test", settings=settings, out=tmp_path / "runs", seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    flags = [part for setting in (*settings, "training.seed=1") for part in ("--set", setting)]
    result = epure("train", "vae", "--config", "vae_toy_test", *flags, "--out", tmp_path / "command", cwd=work)
    assert result.code == 0, result.err
    found = re.search(r"run: (.+)\n", result.out)
    assert epurecli.load(found[1]).trained.digest == run.trained.digest
    assert (run.path / "curves.png").is_file()


def test_a_mode_that_the_model_lacks(run: epure.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from epurecli.types import Mode

    monkeypatch.setattr(type(run.trained.model), "modes", frozenset({Mode.CONDITIONAL}))
    with pytest.raises(UnsupportedMode, match="vae has no mode 'unconditional'"):
        run.sample(1, mode="unconditional")
