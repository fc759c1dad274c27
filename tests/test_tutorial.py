"""The tutorial runs from its first cell to its last in a kernel of its own, and shows what its text says it shows."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"
LONGEST_S = 120  # of a cell; the whole takes about a minute on two cores


@pytest.fixture(scope="module")
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_kept_without_outputs_and_its_cells_have_names(notebook: nbformat.NotebookNode) -> None:
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [cell.id for cell in code if cell.outputs or cell.execution_count or cell.metadata]
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert NOTEBOOK.stat().st_size < 50_000


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_it_runs(notebook: nbformat.NotebookNode) -> None:
    from nbclient import NotebookClient

    NotebookClient(notebook, timeout=LONGEST_S, kernel_name="python3").execute()  # raises where a cell does
    outputs = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}

    def shown(name: str, kind: str) -> str:
        found = [output.data[kind] for output in outputs[name] if kind in output.get("data", {})]
        assert found, f"{name} shows no {kind}: {outputs[name]}"
        return found[-1]

    def printed(name: str) -> str:
        return "".join(output.get("text", "") for output in outputs[name])

    assert "no problems: 1,000 designs" in printed("check")
    for name in ("real", "curves", "sample", "complete", "designed"):
        assert len(shown(name, "image/png")) > 5_000
    assert "outputs/vae/" in shown("train", "text/html")
    assert "width_px" in shown("conditions", "text/html")
    assert "(16, 5, 64, 32) (16, 64, 32) True" in printed("save")
    assert shown("spread", "text/plain") == "True"
    assert "one object" in shown("evaluate", "text/html")
    assert "are one object; of real ones 100% are" in printed("judgement")
    assert "d_rigid_low" in shown("design", "text/html")
    assert "design_001.dxf" in printed("outline")
    assert "<path" in shown("outline", "image/svg+xml")
