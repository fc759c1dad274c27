"""`import epurecli`: its names, and what it costs."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import epurecli

ROOT = Path(__file__).parents[2]


def test_public_names_are_there_and_documented() -> None:
    assert set(epurecli.__all__) == {"Designs", "EpureError", "Run", "__version__", "load", "read", "studio", "train"}
    assert set(epurecli.__all__) <= set(dir(epurecli))
    for name in set(epurecli.__all__) - {"__version__"}:
        value = getattr(epurecli, name)
        assert value.__doc__
        for method in (m for n, m in vars(value).items() if callable(m) and not n.startswith("_")):
            assert method.__doc__, f"{name}.{method.__name__}"
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = epurecli.lode


def test_importing_costs_nothing(run_python) -> None:
    heavy = "{'torch', 'numpy', 'pandas', 'pydantic', 'PIL', 'onnxruntime', 'typer'}"
    result = run_python(f"import sys, epurecli as epure; dir(epure); print(sorted({heavy} & set(sys.modules)))")
    assert (result.code, result.out.strip()) == (0, "[]"), result.err


def test_a_name_is_the_function_also_after_its_module_was_imported(run_python) -> None:
    code = "import epurecli.training.loop, epurecli as epure; print(callable(epure.train), epure.train.__name__)"
    result = run_python(code)
    assert result.out.strip() == "True train", result.err


def test_the_documentation_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(
        str(ROOT / "docs" / "api.md"),
        module_relative=False,
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    )
    assert tried > 15
    assert failed == 0
