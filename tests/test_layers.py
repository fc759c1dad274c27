"""Who may import whom, who may print, and that models, registry and configs agree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from epurecli.config import load_config, shipped
from epurecli.models.registry import REGISTRY, schema_of

PACKAGE = Path(__file__).parents[1] / "epurecli"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# A floor may import the floors named here, and itself.
MAY_IMPORT = {
    "version": set(),
    "errors": {"version"},
    "threads": set(),
    "files": {"errors"},
    "staging": {"errors", "files"},
    "types": {"version", "errors"},
    "text": set(),
    "config": {"version", "errors", "types"},
    "gmrf": {"version", "errors", "types"},
    "pictures": {"version"},
    "outline": {"version", "errors", "pictures", "text"},
    "evaluate": {"version", "errors", "types", "config", "files", "staging", "pictures", "text"},
}
MAY_IMPORT["nn"] = {"version", "errors", "types", "config", "gmrf", "files", "staging"}
MAY_IMPORT["data"] = MAY_IMPORT["nn"] | {"listener", "text"}
MAY_IMPORT["models"] = MAY_IMPORT["nn"] | {"nn", "data"}
MAY_IMPORT["ranks"] = {"errors"}
MAY_IMPORT["listener"] = set()
MAY_IMPORT["checkpoint"] = MAY_IMPORT["models"] | {"models"}
MAY_IMPORT["export"] = MAY_IMPORT["checkpoint"] | {"checkpoint", "pictures"}
for _floor in ("training", "sample"):
    MAY_IMPORT[_floor] = MAY_IMPORT["checkpoint"] | {"checkpoint", "ranks", "listener", "pictures", "text"}
MAY_IMPORT["design"] = MAY_IMPORT["sample"] | {"sample", "evaluate"}
MAY_IMPORT["api"] = MAY_IMPORT["design"] | {"training", "export", "design", "outline", "explore"}
MAY_IMPORT["explore"] = {"version", "errors", "files", "evaluate", "pictures"}
MAY_IMPORT["studio"] = MAY_IMPORT["api"] | {"api"}
MAY_IMPORT["cli"] = {*MAY_IMPORT, "__init__"}
MAY_IMPORT["__init__"] = {"api", "errors", "studio", "version"}  # lazily: the package's face
MAY_IMPORT["__main__"] = {"cli"}
for _floor in ("data", "training", "sample", "export", "api", "studio", "cli"):
    MAY_IMPORT[_floor] = MAY_IMPORT[_floor] | {"threads"}


def parts(path: Path) -> tuple[str, ...]:
    return path.relative_to(PACKAGE).with_suffix("").parts


def imports(path: Path) -> Iterator[str]:
    """Every module of the package that a file names in an import, wherever the import stands."""
    package = ("epurecli", *parts(path)[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "epurecli")
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            if module.split(".")[0] == "epurecli":
                yield from (f"{module}.{alias.name}" for alias in node.names)


def test_floors_import_downwards_only() -> None:
    wrong = []
    for path in SOURCES:
        floor = parts(path)[0]
        for name in imports(path):
            other = name.split(".")[1]
            other = other if (PACKAGE / other).is_dir() or (PACKAGE / f"{other}.py").is_file() else "__init__"
            if other != floor and other not in MAY_IMPORT[floor]:
                wrong.append(f"{'/'.join(parts(path))} imports {name}")
    assert not wrong


def test_no_imports_go_round_in_circles() -> None:
    """Between modules, those for types and those inside functions among them."""
    names = {".".join(("epurecli", *parts(path))).removesuffix(".__init__"): path for path in SOURCES}
    after: dict[str, set[str]] = {}
    for name, path in names.items():
        written = (
            full for full in imports(path) if not full.endswith("._epure_native")
        )  # the extension imports nothing
        found = {full if full in names else full.rpartition(".")[0] for full in written}
        after[name] = {other for other in found if other in names} - {name}
    while True:  # take away whatever imports nothing that is left
        ends = {name for name, others in after.items() if not others & after.keys()}
        if not ends:
            break
        for name in ends:
            del after[name]
    assert not after


def test_the_walk_sees_imports_inside_functions() -> None:
    assert "epurecli.models.registry.build" in set(imports(PACKAGE / "checkpoint.py"))


def test_no_model_imports_another() -> None:
    wrong = []
    for path in SOURCES:
        here = parts(path)
        if here[0] != "models" or here[1] not in REGISTRY:
            continue
        for name in imports(path):
            other = name.split(".")
            if other[1] == "models" and other[2] in REGISTRY and other[2] != here[1]:
                wrong.append(f"{'/'.join(here)} imports {name}")
    assert not wrong


def test_loop_sampler_and_exporter_name_no_model() -> None:
    wrong = [
        f"{'/'.join(parts(path))} imports {name}"
        for path in SOURCES
        if parts(path)[0] in ("training", "sample", "export", "checkpoint", "evaluate", "nn", "data")
        for name in imports(path)
        if name.split(".")[1] == "models" and name.split(".")[2] in REGISTRY
    ]
    assert not wrong


def test_only_the_command_line_prints() -> None:
    wrong = []
    for path in SOURCES:
        if parts(path)[0] == "cli" or parts(path) == ("export", "example"):  # a script for the exported folder
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{'/'.join(parts(path))}:{getattr(node, 'lineno', '?')}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "input"):
                wrong.append(f"{where} {node.func.id}()")
            stream = (
                isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr") and "sys" in ast.unparse(node)
            )
            if stream and parts(path) != ("data", "workers"):  # whose stdout is the pipe that answers go through
                wrong.append(f"{where} {ast.unparse(node)}")
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                wrong += [f"{where} imports {n}" for n in names if n.split(".")[0] in ("rich", "typer", "click")]
    assert not wrong


def test_files_are_small() -> None:
    long = {"/".join(parts(p)): n for p in SOURCES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 350}
    assert not long


@pytest.mark.parametrize("module", ["epurecli.cli", "epurecli.cli.commands", "epurecli.models.registry"])
def test_starting_imports_nothing_heavy(module: str, run_python) -> None:
    heavy = ("torch", "onnx", "onnxruntime", "pandas", "scipy", "matplotlib", "safetensors", "PIL")
    code = f"import sys, {module}; print(sorted(set({heavy!r}) & set(sys.modules)))"
    result = run_python(code)
    assert result.code == 0, result.err
    assert result.out.strip() == "[]"


def test_a_config_is_checked_without_torch(run_python) -> None:
    code = (
        "import sys\n"
        "from epurecli.config import load_config, shipped\n"
        "from epurecli.models.registry import schema_of\n"
        "[load_config(name, schema_of) for name in shipped()]\n"
        "print('torch' in sys.modules)"
    )
    result = run_python(code)
    assert result.code == 0, result.err
    assert result.out.strip() == "False"


def test_rooms_are_the_folders_under_models() -> None:
    folders = {p.name for p in (PACKAGE / "models").iterdir() if (p / "__init__.py").is_file()}
    assert folders == set(REGISTRY)


@pytest.mark.parametrize("name", REGISTRY)
def test_a_room_leads_to_its_own_classes(name: str) -> None:
    entry = REGISTRY[name]
    for path in (entry.config, entry.model):
        assert path.startswith(f"epurecli.models.{name}")
    schema = schema_of(name)
    assert schema.model_fields["model"].annotation.model_fields["type"].annotation.__args__ == (name,)
    assert entry.title


def test_every_shipped_config_belongs_to_a_room_and_every_room_has_one() -> None:
    owners = set()
    for name in shipped():
        config = load_config(name, schema_of)
        assert name.startswith(f"{config.model.type}_"), f"{name}.yaml configures a {config.model.type}"
        owners.add(config.model.type)
    assert owners == set(REGISTRY)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_config_puts_runs_where_sampling_looks_for_them(name: str) -> None:
    config = load_config(name, schema_of)
    assert config.paths.output_dir == Path("outputs") / config.model.type
    assert config.paths.samples_dir == Path("samples") / config.model.type


@pytest.mark.parametrize("name", REGISTRY)
def test_bare_commands_have_their_configs(name: str) -> None:
    assert {f"{name}_epure_full", f"{name}_toy", f"{name}_toy_test"} <= set(shipped())
