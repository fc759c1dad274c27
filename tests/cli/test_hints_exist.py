"""Every command, flag and key that any message names is there: whatever is printed as a hint can be typed."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
import typer
from pydantic import BaseModel

from epurecli.cli import commands as register
from epurecli.cli.app import root
from epurecli.models.registry import REGISTRY, schema_of

PACKAGE = Path(__file__).parents[2] / "epurecli"
OTHERS = {"--nproc-per-node", "--ntasks-per-node"}  # of torchrun and Slurm


def texts() -> Iterator[tuple[str, str]]:
    """(where, text) of every string in the package that is no docstring."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        pages = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Assign)}  # such as a style sheet
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose | pages:
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node.value


def tree() -> Any:
    app = typer.Typer()
    app.callback()(root)
    register.register(app)
    return typer.main.get_group(app)


def commands(group: Any, before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        found[before + name] = command
        if hasattr(command, "commands"):
            found |= commands(command, f"{before}{name} ")
    return found


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    return commands(tree())


def keys_of(schema: type[BaseModel], before: str) -> set[str]:
    found: set[str] = set()
    for key, field in schema.model_fields.items():
        found.add(before + key)
        kinds = (
            get_args(field.annotation) if get_origin(field.annotation) in (Union, UnionType) else (field.annotation,)
        )
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= keys_of(kind, f"{before}{key}.")
    return found


def test_commands(known: dict[str, Any]) -> None:
    for where, text in texts():
        for name in re.findall(r"\bepure ([a-z]+(?:-[a-z]+)*)(?= |$|`)", text):
            assert name in known or name in ("with", "says", "reads"), f"{where}: epure {name}"


def test_flags(known: dict[str, Any]) -> None:
    flags = {flag for c in known.values() for p in c.params for flag in (*p.opts, *p.secondary_opts)} | {"--help"}
    of_all = {flag for p in tree().params for flag in (*p.opts, *p.secondary_opts)}
    for where, text in texts():
        for flag in re.findall(r"(?<![\w-])(?<!var\()--[a-z][a-z0-9-]*[a-z0-9]", text):
            assert flag in flags | of_all | OTHERS, f"{where}: {flag}"


def test_keys() -> None:
    keys = set().union(*(keys_of(schema_of(name), "") for name in REGISTRY))
    for where, text in texts():
        for key in re.findall(r"(?<![\w./])(?:model|training|data|sampling|paths)\.[a-z][a-z_0-9.]*[a-z0-9]", text):
            assert key in keys or key.endswith((".yaml", ".py", ".csv", ".json")), f"{where}: {key}"


def test_extras() -> None:
    extras = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for where, text in texts():
        for extra in re.findall(r"epurecli\[(\w+)\]", text):
            assert extra in extras, f"{where}: {extra}"
