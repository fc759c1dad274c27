"""Fuzzes one loader of `test_fuzz.py` guided by coverage; what breaks it is kept as a case in `cases/<loader>/`.

pip install atheris && python tests/fuzz/fuzz.py LOADER [-max_total_time=120]
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["epurecli", "yaml"]):
    from test_fuzz import CASES, LOADERS, survives

loader = sys.argv.pop(1)
corpus = Path(tempfile.mkdtemp(prefix=f"fuzz-{loader}-"))
for i, seed in enumerate(LOADERS[loader].good()):
    (corpus / f"seed-{i}").write_bytes(seed)
(CASES / loader).mkdir(parents=True, exist_ok=True)
atheris.Setup([*sys.argv, f"-artifact_prefix={CASES / loader}/", str(corpus)], partial(survives, loader))
atheris.Fuzz()
