"""Worker processes: order, failure, and the caller's own script."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from epurecli.data.toy import COMPONENTS, draw
from epurecli.data.workers import run_jobs

ROOT = Path(__file__).parents[2]
TASK = "epurecli.data.toy:write_block"


def jobs(directory: Path, count: int) -> list[dict[str, Any]]:
    for component in COMPONENTS:
        (directory / component).mkdir(parents=True, exist_ok=True)
    return [{"directory": str(directory), "seed": 0, "start": start, "count": 1} for start in range(count)]


def test_results_come_in_the_order_of_the_jobs(tmp_path: Path):
    done: list[int] = []
    todo = jobs(tmp_path, 12)
    todo[0]["count"] = 200  # finishes long after the next ones
    results = run_jobs(TASK, todo, lambda job: done.append(job["start"]), processes=3)
    assert [result["width_px"][0] for result in results] == draw(0, 0, 12)[1]["width_px"].tolist()
    assert sorted(done) == list(range(12))
    assert run_jobs(TASK, todo, processes=1) == results


def test_a_failing_job_stops_all_and_tells_why(tmp_path: Path):
    good = jobs(tmp_path, 3)
    with pytest.raises(RuntimeError, match="FileNotFoundError"):
        run_jobs(TASK, [*good, {**good[0], "directory": str(tmp_path / "nowhere")}], processes=2)


def test_an_exception_in_the_caller_comes_through(tmp_path: Path):
    def interrupt(job: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(TASK, jobs(tmp_path, 6), interrupt, processes=2)


def test_files_of_the_users_folder_are_not_imported(tmp_path: Path):
    """A `numpy.py` beside the user's script must not reach the workers."""
    (tmp_path / "numpy.py").write_text("raise SystemExit('wrong numpy')")
    for component in COMPONENTS:
        (tmp_path / component).mkdir()
    job = {"directory": str(tmp_path), "seed": 0, "start": 0, "count": 1}
    code = f"""
import sys
sys.path[0] = {str(ROOT)!r}
from epurecli.data.workers import run_jobs
print(len(run_jobs({TASK!r}, [{job!r}] * 2, processes=2)))
"""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "2", done.stderr
