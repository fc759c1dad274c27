"""Inputs from public bug reports and people's habits, each with a script that says PASS or FAIL; beside the repository,
where they are kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FIELD = Path(__file__).parents[3] / "shared" / "field"
CASES = sorted(path.parent for path in FIELD.glob("*/run.sh"))
AS_ROOT = ("no-home", "readonly-reports")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CASES, reason=f"the cases are not here ({FIELD})"),
    pytest.mark.skipif(os.name == "nt", reason="shell scripts"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_field(case: Path) -> None:
    if case.name in AS_ROOT and (os.getuid() or not shutil.which("setpriv")):
        pytest.skip("needs root and setpriv")
    command = Path(sys.executable).with_name("epure")
    environment = {**os.environ, "EPURE": str(command), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(["bash", case / "run.sh"], env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
