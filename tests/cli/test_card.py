"""`epure card`: a README that parsers of YAML and Markdown read, with the report's figures, that replaces nothing."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt
from PIL import Image

from epurecli.api.card_text import number, plain


@pytest.fixture(scope="module")
def carded(run_of, epure, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with its card."""
    run = shutil.copytree(run_of("vae"), tmp_path_factory.mktemp("card") / "run")
    result = epure("card", run, "--license", "apache-2.0")
    assert result.code == 0, result.err
    assert result.out == f"card: {run / 'README.md'}\n"
    assert "evaluating" in result.err
    return run


def parsed(readme: Path) -> tuple[dict[str, Any], list[list[list[str]]], list[str]]:
    """(front matter, tables as rows of text, pieces of HTML) as a hub reads them."""
    text = readme.read_text("utf-8")
    start, front, body = text.split("---\n", 2)
    assert start == ""
    tables: list[list[list[str]]] = []
    markup = []
    within = ""
    for token in MarkdownIt("commonmark").enable("table").parse(body):
        children = token.children or []
        markup += [token.content] if token.type == "html_block" else [c.content for c in children if "html" in c.type]
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type == "inline" and within in ("td_open", "th_open"):
            tables[-1][-1].append("".join(child.content for child in children))
        within = token.type
    return yaml.safe_load(front), tables, markup


@pytest.mark.slow
def test_front_matter(carded: Path) -> None:
    front, _, _ = parsed(carded / "README.md")
    assert (front["library_name"], front["license"]) == ("epurecli", "apache-2.0")
    assert {"generative-design", "vae", "inpainting"} <= set(front["tags"])
    (report,) = json.loads((carded / "report" / "report.json").read_text())["reports"]
    figures = {f"{m['group']}: {m['name']} ({m['unit']})": m["value"] for m in report["metrics"]}
    ((index,),) = [entry["results"] for entry in front["model-index"]]
    assert index["dataset"]["split"] == "test"
    assert [m["type"] for m in index["metrics"]] == front["metrics"]
    assert len(front["metrics"]) >= 5
    for metric in index["metrics"]:
        assert metric["value"] == figures[metric["name"]]


@pytest.mark.slow
def test_figures_are_those_of_the_report(carded: Path) -> None:
    (report,) = json.loads((carded / "report" / "report.json").read_text())["reports"]
    _, tables, _ = parsed(carded / "README.md")
    (figures,) = [table for table in tables if table[0][0] == "group"]
    assert figures[0] == ["group", "metric", "unit", "better", "value", "interval", "real"]
    assert len(figures) == 1 + len(report["metrics"]) > 30
    for line, metric in zip(figures[1:], report["metrics"], strict=True):
        low, high = metric["ci"] or (None, None)
        interval = "–" if metric["ci"] is None else f"{number(low)} to {number(high)}"
        assert line[:3] == [metric["group"], metric["name"], metric["unit"]]
        assert line[4:] == [number(metric["value"]), interval, number(metric["floor"])]
        if metric["value"] is not None:
            assert math.isclose(float(line[4]), metric["value"], rel_tol=1e-4)


@pytest.mark.slow
def test_data_ranges_limits_and_picture(carded: Path) -> None:
    facts = json.loads((carded / "run.json").read_text())
    _, tables, markup = parsed(carded / "README.md")
    (ranges,) = [table for table in tables if table[0][0] == "condition"]
    for k, (column, low, high) in enumerate(ranges[1:]):
        assert column == facts["conditions"]["columns"][k]
        assert (float(low), float(high)) == (facts["conditions"]["minimum"][k], facts["conditions"]["maximum"][k])
    text = (carded / "README.md").read_text("utf-8")
    assert f"{facts['data']['train']:,} designs to train on" in text
    assert facts["data"]["digest"] in text
    for heading in ("Intended use", "Data", "Held-out figures", "Limits", "Files"):
        assert f"\n## {heading}\n" in text
    assert "Spread of completions" in text
    assert [piece.strip() for piece in markup] == ["<!-- written by epure card -->"]
    assert Image.open(carded / "contact_sheet.png").size[0] > 200
    for name in ("report/report.html", "contact_sheet.png"):
        assert f"({name})" in text
        assert (carded / name).is_file()


@pytest.mark.slow
def test_the_run_still_trains_and_samples(carded: Path, epure, tmp_path: Path) -> None:
    assert epure("sample", "vae", "--checkpoint", carded, "--num-samples", 2, "--out", tmp_path / "s").code == 0


@pytest.mark.slow
def test_a_card_is_replaced_only_when_asked_and_only_a_card(carded: Path, epure, tmp_path: Path) -> None:
    run = shutil.copytree(carded, tmp_path / "run")
    readme, report = run / "README.md", (run / "report" / "report.json").read_bytes()
    before = readme.read_bytes()
    again = epure("card", run)
    assert (again.code, "exists already" in again.err, "--overwrite" in again.err) == (2, True, True)
    assert readme.read_bytes() == before
    assert epure("card", run, "--overwrite").code == 0
    assert yaml.safe_load(readme.read_text("utf-8").split("---\n")[1])["license"] == "unknown"
    assert (run / "report" / "report.json").read_bytes() == report  # it judges these weights: not made again
    readme.write_text("# mine\n")
    mine = epure("card", run, "--overwrite")
    assert (mine.code, "no card of epure's" in mine.err) == (2, True)
    assert readme.read_text() == "# mine\n"


@pytest.mark.slow
def test_a_report_of_other_weights_is_refused(carded: Path, epure, tmp_path: Path) -> None:
    run = shutil.copytree(carded, tmp_path / "run")
    (run / "README.md").unlink()
    (run / "contact_sheet.png").unlink()
    path = run / "report" / "report.json"
    content = json.loads(path.read_text())
    content["reports"][0]["weights"] = "0" * 64
    path.write_text(json.dumps(content))
    result = epure("card", run)
    assert (result.code, "does not judge best.safetensors" in result.err) == (2, True)
    assert not (run / "README.md").exists()


@pytest.mark.parametrize(("argv", "code", "said"), [
    (("nowhere",), 4, "no such run"), (("RUN", "--license", "Apache 2"), 2, "a hub's name"),
])  # fmt: skip
def test_what_is_refused_before_work(run_of, epure, tmp_path: Path, argv, code: int, said: str) -> None:
    run = shutil.copytree(run_of("vae"), tmp_path / "run")
    result = epure("card", *(run if word == "RUN" else word for word in argv), cwd=tmp_path)
    assert (result.code, said in result.err) == (code, True)
    assert not {"README.md", "report", "contact_sheet.png"} & {path.name for path in run.iterdir()}


@pytest.mark.slow
def test_a_report_of_other_data_is_called_that(carded: Path, epure, tmp_path: Path) -> None:
    run = shutil.copytree(carded, tmp_path / "run")
    content = json.loads((run / "report" / "report.json").read_text())
    content["reports"][0]["data"] = "0" * 64
    (run / "report" / "report.json").write_text(json.dumps(content))
    assert epure("card", run, "--overwrite").code == 0
    assert "On designs of another data set" in (run / "README.md").read_text("utf-8")


@pytest.mark.slow
def test_names_of_strangers_stay_text(epure, write_data, tmp_path: Path) -> None:
    names = ("<img src=x>", "a|b*c*", "[x](y)`z`")
    data = write_data(tmp_path / "da|ta <b>", 48, names)
    trained = epure(
        "train", "vae", "--config", "vae_toy_test", "--data", data, "--set", "training.epochs=1", cwd=tmp_path
    )
    assert trained.code == 0, trained.err
    assert epure("card", "vae", cwd=tmp_path).code == 0
    (readme,) = tmp_path.glob("outputs/vae/*/README.md")
    front, tables, markup = parsed(readme)
    assert len(markup) == 1
    cells = {cell for table in tables for row in table for cell in row}
    assert f"3: {', '.join(sorted(names))}" in cells
    assert {f"iou of {name}" for name in names} <= cells
    assert front["model-index"][0]["results"][0]["dataset"]["name"] == "da|ta <b>"
    assert str(tmp_path) not in readme.read_text("utf-8")


def test_plain_text_is_what_it_was() -> None:
    rng = np.random.default_rng(0)
    marks = "\\`*_[]<>|&#~$ab!-+.()=:/"
    for _ in range(300):
        text = "x" + "".join(rng.choice(list(marks), 8)) + "x"
        (paragraph,) = [t for t in MarkdownIt("commonmark").parse(plain(text)) if t.type == "inline"]
        assert "".join(child.content for child in paragraph.children) == text
