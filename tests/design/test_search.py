"""Designs for briefs, judged by the formulas of the toy tyres; through the API and the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import epurecli as epure
from epurecli.data import toy
from epurecli.design.known import rough_pixels
from epurecli.errors import Infeasible, UnsupportedMode, UsageError
from epurecli.nn.noise import GivenNoise, KeptNoise
from epurecli.sample.noise import DesignNoise, design_noise

FEW = pytest.mark.slow  # of a run that draws tyres


@FEW
def test_targets_are_hit_by_designs_that_differ(trained: epure.Run, figures) -> None:
    wanted = figures(trained.test.images[:6])
    deviation = np.array(trained.predictor.deviation)
    for row in wanted:
        found = trained.design(target=dict(zip(toy.COLUMNS, map(float, row), strict=True)), count=4)
        truth = figures(found.designs.images)
        assert (np.abs(truth - row) / deviation)[:, 2:].max(1).min() < 0.15
        assert np.abs(truth - row)[:, :2].max() <= 1
        bits = found.designs.images >= 128
        assert len(found) == 4
        assert ((bits[:, None] != bits[None]).sum((2, 3, 4))[np.triu_indices(4, 1)] > 50).all()
        assert found.table["valid"].all()
        assert "d_stab" in found._repr_html_()
        assert found.table["rank"].tolist() == [1, 2, 3, 4]
        assert (found.table["d_cons_low"] <= found.table["d_cons"]).all()


@FEW
def test_a_kept_part_is_kept_bit_for_bit_and_the_rest_answers(trained: epure.Run, figures) -> None:
    own = trained.test[0]
    row = figures(own.images)[0]
    found = trained.design(
        ranges={"width_px": (row[0] - 2, row[0] + 2)}, maximise=["d_rigid"], fix=own.only("bt"), count=3
    )
    place = trained.components.index("bt")
    assert (found.designs.images[:, place] == own.images[0, place]).all()
    assert found.designs.given[:, place].all()
    assert (np.abs(figures(found.designs.images)[:, 0] - row[0]) <= 2).all()


@FEW
def test_more_is_found_where_more_is_asked(trained: epure.Run, figures) -> None:
    most = trained.design(maximise=["d_stab"], count=4)
    least = trained.design(minimise=["d_stab"], count=4)
    high, low = (figures(found.designs.images)[:, 5] for found in (most, least))
    data = figures(trained.test.images)[:, 5]
    assert high.min() > np.percentile(data, 90)
    assert low.max() < np.percentile(data, 10)
    assert rough_pixels(most.designs.images >= 128).max() <= trained._designer.known.limits[-1]


@FEW
def test_refining_lessens_the_loss_of_each_design(trained: epure.Run, figures) -> None:
    """The gradient through decoder and predictor goes the right way: designs come nearer than their proposals."""
    from epurecli.design.brief import Brief
    from epurecli.design.propose import propose
    from epurecli.design.refine import refine

    designer = trained._designer
    row = figures(trained.test.images[3:4])[0]
    brief = Brief.of({"target": dict(zip(toy.COLUMNS, map(float, row), strict=True))})
    goals = designer.goals(brief, designer.predictor, designer.known)
    start = propose(trained.trained, goals, designer.known.values, range(16), 0, None)
    better = refine(
        trained.trained, designer.predictor, goals, start, 0, None, 30, lambda bits: np.ones(len(bits), bool)
    )
    assert better is not None
    before, after = (goals.miss(designer.predictor(c.bits.astype(np.uint8) * 255).value) for c in (start, better))
    assert (after <= before + 1e-6).mean() > 0.9
    assert after.mean() < 0.5 * before.mean()


@FEW
def test_impossible_briefs_say_what_stands_in_the_way(trained: epure.Run) -> None:
    with pytest.raises(Infeasible) as refused:
        trained.design(at_least={"d_life": 1.2}, ranges={"width_px": (52, 60)})
    assert "d_life at least 1.2 stands in the way" in refused.value.message
    assert "d_life at least 1.2: " in str(refused.value.hint)
    reachable = float(str(refused.value.hint).split("d_life at least 1.2: ")[1].split(";")[0])
    assert 0 < reachable < 1.2
    again = trained.design(at_least={"d_life": reachable - 0.05}, ranges={"width_px": (52, 60)}, count=2)
    assert len(again) >= 1  # what the hint says can be had


@FEW
def test_simulated_figures_are_learnt_from(trained: epure.Run, figures, tmp_path: Path) -> None:
    found = trained.design(maximise=["d_cons"], count=4)
    folder = found.save(tmp_path / "round")
    truth = figures(found.designs.images)
    with (folder / "to_simulate.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == list(found.designs.names)
    with (folder / "to_simulate.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        for row, values in zip(rows[:3], truth, strict=False):  # the fourth was not simulated
            writer.writerow({**row, "d_cons": values[2], "d_rigid": values[3]})
    from epurecli.api.simulated import read_simulated
    from epurecli.design.brief import Brief

    told = read_simulated(folder / "to_simulate.csv", trained.components, trained.predictor.columns)
    assert told.columns == ("d_cons", "d_rigid")
    np.testing.assert_array_equal(told.values, truth[:3, 2:4])
    predictor, known = trained._designer.with_simulated(told)
    assert predictor.labels[2] == trained.predictor.labels[2] + 3
    assert len(known.bits) == len(trained._designer.known.bits) + 3
    again = trained.answer(Brief.of({"maximise": ["d_cons"]}), count=2, results=folder / "to_simulate.csv")
    assert len(again) == 2


@FEW
def test_the_command_writes_all_that_it_says(trained: epure.Run, epure, tmp_path: Path) -> None:
    run = trained.path.resolve()
    asked = ("vae", "--checkpoint", str(run), "--range", "width_px=50:60", "--maximise", "d_rigid", "--count", "3")
    result = epure("design", *asked, "--out", "found", cwd=tmp_path)
    assert result.code == 0, result.err
    assert "designs: found" in result.out
    names = {path.name for path in (tmp_path / "found").iterdir()}
    assert {
        "designs.csv",
        "to_simulate.csv",
        "brief.yaml",
        "report.html",
        "explorer.html",
        "manifest.csv",
        "contact_sheet.png",
    } <= names
    page = (tmp_path / "found" / "report.html").read_text()
    assert page.count("data:image/png") == 3
    assert "http" not in page.replace("http-equiv", "")
    again = epure("design", *asked, "--out", "found", cwd=tmp_path)
    assert again.code == 2
    assert "--overwrite" in again.err
    spec = epure(
        "design",
        "vae",
        "--checkpoint",
        str(run),
        "--spec",
        "found/brief.yaml",
        "--count",
        "3",
        "--out",
        "same",
        cwd=tmp_path,
    )
    assert spec.code == 0, spec.err
    first, second = ((tmp_path / folder / "designs.csv").read_text() for folder in ("found", "same"))
    assert first == second  # the same brief and seed, the same designs
    told = epure("predict", "same", cwd=tmp_path)
    assert told.code == 0, told.err
    assert (tmp_path / "predictions.csv").read_text().startswith("name,width_px")
    predicted = {row["name"]: row for row in csv.DictReader((tmp_path / "predictions.csv").open())}
    for row in csv.DictReader((tmp_path / "same" / "designs.csv").open()):
        assert float(row["d_rigid"]) == pytest.approx(float(predicted[row["name"]]["d_rigid"]), abs=1e-5)
    fixed = epure(
        "design",
        *asked[:3],
        "--fix",
        "bt",
        "--input",
        "same",
        "--name",
        "design_001",
        "--at-least",
        "d_cons=-0.3",
        "--out",
        "kept",
        cwd=tmp_path,
    )
    assert fixed.code == 0, fixed.err
    json.dumps(sorted(names))


def test_what_is_refused_is_refused_before_work(quick: Path, epure) -> None:
    """The table of bad calls; nothing is written by any of them."""
    before = sorted(str(path) for path in quick.rglob("*"))
    calls = [
        (("design", "vae"), "nothing is asked for"),
        (("design", "vae", "--target", "width_px"), "expected NAME=VALUE"),
        (("design", "vae", "--target", "width_px=wide"), "not a finite number"),
        (("design", "vae", "--target", "width=58"), "did you mean 'width_px'"),
        (("design", "vae", "--range", "width_px=60"), "LOW:HIGH"),
        (("design", "vae", "--range", "width_px=60:50"), "is empty"),
        (("design", "vae", "--target", "width_px=5000"), "far beyond the data"),
        (("design", "vae", "--target", "width_px=58", "--target", "width_px=59"), "given twice"),
        (("design", "vae", "--maximise", "width_px", "--fix", "bt"), "--fix and --input go together"),
        (("design", "vae", "--maximise", "width_px", "--spec", "brief.yaml"), "no such file"),
        (("design", "va", "--maximise", "width_px"), "did you mean"),
        (("predict", "nowhere"), "no such folder"),
    ]
    for call, said in calls:
        result = epure(*call, cwd=quick)
        assert result.code in (2, 4), (call, result.err)
        assert said in result.err, (call, result.err)
    after = [path for path in sorted(str(p) for p in quick.rglob("*")) if not path.endswith("predictor.safetensors")]
    assert after == before


def test_only_known_figures_help_and_the_search_sees_no_formula(quick: Path) -> None:
    """Nothing of the search imports the module that holds the formulas of the toy tyres."""
    package = Path(epure.__file__).parent / "design"
    assert not [path for path in package.glob("*.py") if "toy" in path.read_text(encoding="utf-8")]


def test_predictions_are_for_whole_designs_of_its_parts(quick: Path) -> None:
    run = epure.load(next((quick / "outputs" / "vae").iterdir()))
    whole = run.test[:3]
    frame = run.predict(whole)
    assert list(frame.index) == list(whole.names)
    assert {"width_px", "width_px_low", "d_stab_high"} <= set(frame.columns)  # also what it was not conditioned on
    with pytest.raises(UsageError, match="parts of the designs are missing"):
        run.predict(whole.only("bt"))
    with pytest.raises(UsageError, match="kept of one design"):
        run.design(maximise=["width_px"], fix=whole.only("bt"))


def test_noise_of_any_designs_is_what_sampling_gives_them() -> None:
    joined = KeptNoise(DesignNoise(7, [3, 11]))
    ours = joined.normal(4)
    expected = torch.cat([design_noise(7, number, 1, 1)[0].normal(4) for number in (3, 11)])
    assert torch.equal(ours.detach(), expected)
    assert joined.uniform(2).requires_grad is False
    assert [kind for kind, _ in joined.kept] == ["normal", "uniform"]
    replay = GivenNoise([tensor for _, tensor in joined.kept])
    assert replay.normal(4) is ours


def test_a_model_that_cannot_complete_is_not_asked_to(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from epurecli.types import Mode

    run = epure.load(next((quick / "outputs" / "vae").iterdir()))
    monkeypatch.setattr(type(run.trained.model), "modes", frozenset({Mode.CONDITIONAL}))
    with pytest.raises(UnsupportedMode):
        run.design(maximise=["width_px"], fix=run.test[0].only("bt"))
