"""What people are told to install is this project (`epure` on PyPI is another); benchmarks name what there is."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import epurecli

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TEXTS = sorted(
    [*(ROOT / "epurecli").rglob("*.py"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md"), ROOT / "setup.py"]
)
COMMAND = re.compile(r"pip3? install ([^`\n]*)")
TARGET = re.compile(r"(?P<what>\.|[A-Za-z][\w.-]*)(\[(?P<extras>[\w, -]+)\])?")


def told() -> list[tuple[str, str]]:
    """(file, what to install) of every pip command in the package and its documents."""
    found = []
    for path in TEXTS:
        for line in COMMAND.findall(path.read_text(encoding="utf-8")):
            line = re.sub(r"-[cr] \S+|--?[a-z]\S*", "", line)  # options and their files
            word = re.match(r"""\s*["']?([^\s"']+)""", line)
            found.append((path.name, word.group(1).rstrip(",") if word else line))
    return found


def test_every_pip_line_installs_this_project_with_extras_that_it_has() -> None:
    hints = told()
    assert ("trackers.py", "epurecli[tensorboard]") in hints
    assert ("README.md", ".") in hints
    for file, what in hints:
        match = TARGET.fullmatch(what)
        assert match, f"{file}: pip install {what}"
        assert match["what"] in (".", PROJECT["name"]), f"{file}: pip install {what}"
        extras = re.split(r"[, ]+", match["extras"]) if match["extras"] else []
        assert set(extras) <= set(PROJECT["optional-dependencies"]), f"{file}: pip install {what}"


def test_the_distribution_is_named_like_the_import_and_brings_the_command() -> None:
    assert PROJECT["name"] == epurecli.__name__
    assert PROJECT["scripts"] == {"epure": "epurecli.cli:main"}
    try:
        installed = importlib.metadata.version(PROJECT["name"])
    except importlib.metadata.PackageNotFoundError:
        pytest.fail(f"{PROJECT['name']} is not installed here: pip install -e '.[test]'")
    assert epurecli.__version__ == installed


@pytest.mark.parametrize("script", sorted((ROOT / "tests" / "bench").glob("*.py")), ids=lambda path: path.stem)
def test_benchmarks_name_what_there_is(script: Path) -> None:
    """No test runs them, so a rename would break them unseen."""
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "epurecli":
            module = import_module(node.module)
            lacking = [
                a.name for a in node.names if not hasattr(module, a.name) and not _is_module(node.module, a.name)
            ]
            assert not lacking, f"{node.module} has no {lacking}"


def _is_module(package: str, name: str) -> bool:
    return find_spec(f"{package}.{name}") is not None
