"""`epure evaluate` and `epure compare` as people type them: a table of whole figures, and a page with pictures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

FEW = ("--num-samples", 12)


def test_a_model_is_judged_with_pictures_and_loss_curves(work: Path, epure, tmp_path: Path) -> None:
    result = epure("evaluate", "vae", *FEW, "--out", tmp_path / "out", cwd=work)
    assert result.code == 0, result.err
    assert result.out.endswith(f"report: {tmp_path / 'out' / 'report.html'}\n")
    (report,) = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["reports"]
    for metric in report["metrics"]:
        assert f" {metric['name']} " in result.out
        if metric["value"] is not None:
            assert f" {metric['value']:.4g} " in result.out
    assert [(c["stage"], c["name"]) for c in report["losses"]][:2] == [("vae", "training"), ("vae", "validation")]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for title in ("Real designs", "Drawn freely", "Drawn at given sizes", "Completed", "Completions: the worst"):
        assert f"<h3>{title}</h3>" in page
    assert page.count('src="data:image/png;base64,') > 60
    assert '<svg class="losses"' in page
    assert re.search(r'<p class="conclusion">vae: \d+ of \d+ figures', page)


@pytest.mark.slow
def test_fewer_completions_are_judged_where_fewer_are_asked_for(work: Path, epure, tmp_path: Path) -> None:
    """Of 20 test designs; every subset of parts has them all, for it gets 100 where there are as many."""
    result = epure("evaluate", "vae", *FEW, "--completions", 10, "--out", tmp_path / "out", cwd=work)
    assert result.code == 0, result.err
    (report,) = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["reports"]
    assert report["counts"]["inpainted"] == 10
    assert report["counts"]["test"] == 20


@pytest.mark.slow
def test_models_are_compared_side_by_side(work: Path, epure, tmp_path: Path) -> None:
    result = epure("compare", "vae", "meta_vae", *FEW, "--out", tmp_path / "out", cwd=work)
    assert result.code == 0, result.err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("<h3>Drawn freely</h3>") == 1
    assert page.partition("<h3>Drawn freely</h3>")[2].count("<h4>meta_vae</h4>") > 1
    assert page.count("<h3>Real designs</h3>") == 1


def test_a_folder_of_samples_is_judged_with_its_pictures(work: Path, epure, tmp_path: Path) -> None:
    assert epure("data", "make-toy", tmp_path / "toys", "--count", 120).code == 0
    assert epure("sample", "vae", "--mode", "unconditional", *FEW, "--out", tmp_path / "drawn", cwd=work).code == 0
    result = epure("evaluate", tmp_path / "drawn", "--data", tmp_path / "toys", "--out", tmp_path / "out", cwd=work)
    assert result.code == 0, result.err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<h3>Drawn freely</h3>" in page
    assert "<h3>Completed</h3>" not in page


def test_what_is_compared_is_a_model_or_a_run(work: Path, run_of, epure) -> None:
    result = epure("compare", "vae", "outputs/vae", cwd=work)  # the folder of runs, not a run
    assert result.code == 2
    assert "no model 'outputs/vae'" in result.err
    result = epure("compare", run_of("vae"), "--train", cwd=work)
    assert result.code == 2
    assert "--train takes models, not run folders" in result.err
