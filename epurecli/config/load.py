"""YAML text -> a checked, frozen `RunConfig`. Every fault is reported at once, with file, line, key and the nearest
key."""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from epurecli.config.schema import RunConfig
from epurecli.errors import ConfigError, NotFound

MAX_BYTES = 1_000_000  # a config is a page of text; anything larger is a mistake or an attack
MAX_DEPTH = 20
RETIRED = (("model", "latent_prior", "budget_s"),)
MAX_VALUES = 10_000  # aliases count each time: nine of nine of nine ... is a small file and a full memory

SchemaOf = Callable[[str], type[RunConfig]]  # model type -> its schema; raises ConfigError for an unknown type


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads `1e-4` as a number (PyYAML wants `1.0e-4`)."""


_Loader.yaml_implicit_resolvers = {k: list(v) for k, v in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, name: str) -> tuple[Any, dict[tuple[str, ...], int]]:
    """Parse YAML safely; also return the 1-based line of every key path.

    Raises:
        ConfigError: not YAML, too large, too deep, or a key given twice.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{name}: larger than {MAX_BYTES} bytes; a config is a page of text")
    lines: dict[tuple[str, ...], int] = {}
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is not None:
            _walk(node, (), lines, name, set(), count())
        return yaml.load(text, Loader=_Loader), lines  # _Loader is a SafeLoader: plain types only
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        raise ConfigError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # PyYAML's constructors raise whatever comes for a tag that does not fit its value (`!!int ""`: IndexError)
        raise ConfigError(f"{name}: not a readable config: {error}") from error


def _walk(
    node: yaml.Node, path: tuple[str, ...], lines: dict, name: str, open_nodes: set[int], seen: Iterator[int]
) -> None:
    if next(seen) > MAX_VALUES:
        raise ConfigError(f"{name}: more than {MAX_VALUES} values; a config is a page of text")
    if len(path) > MAX_DEPTH or id(node) in open_nodes:
        raise ConfigError(f"{name}:{node.start_mark.line + 1}: nested deeper than {MAX_DEPTH} levels")
    open_nodes = open_nodes | {id(node)}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            if here in lines:
                raise ConfigError(f"{name}:{key.start_mark.line + 1}: {'.'.join(here)} is given twice")
            lines[here] = key.start_mark.line + 1
            _walk(value, here, lines, name, open_nodes, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*path, str(index)), lines, name, open_nodes, seen)


def apply_overrides(tree: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of `tree` with `section.key=value` texts applied (values are read as YAML).

    Raises:
        ConfigError: a text without `=`, or a path through something that is not a section.
    """
    tree = _deep_copy(tree)
    for text in filter(str.strip, overrides):
        path, separator, value = text.partition("=")
        keys = path.strip().split(".")
        if not separator or not all(keys):
            raise ConfigError(f"--set {text}: expected section.key=value, for example training.lr=3e-4")
        here = tree
        for key in keys[:-1]:
            if here.get(key) is None:
                here[key] = {}
            here = here[key]
            if not isinstance(here, dict):
                raise ConfigError(f"--set {text}: {key} is a value, not a section")
        here[keys[-1]] = parse_yaml(value, f"--set {path}")[0]
    return tree


def _deep_copy(tree: Any) -> Any:
    return {k: _deep_copy(v) for k, v in tree.items()} if isinstance(tree, dict) else tree


def build(tree: Any, lines: Mapping[tuple[str, ...], int], name: str, schema_of: SchemaOf) -> RunConfig:
    """Check a parsed tree against the schema of its `model.type`.

    Raises:
        ConfigError: lists every fault, one a line.
    """
    if not isinstance(tree, dict):
        raise ConfigError(f"{name}: expected sections (model:, data:, training:, paths:), found {type(tree).__name__}")
    model = tree.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("type"), str):
        raise ConfigError(f"{name}: model.type is missing", hint="name the model, for example `type: vae`")
    schema = schema_of(model["type"])
    try:
        return schema.model_validate(_without_retired(tree))
    except ValidationError as error:
        faults = [_sentence(e, schema, lines, name, model["type"]) for e in error.errors()]
        raise ConfigError("\n".join(faults)) from error


def _without_retired(tree: dict[str, Any]) -> dict[str, Any]:
    """Without keys that earlier versions wrote into each run, where they say nothing."""
    tree = _deep_copy(tree)
    for *path, last in RETIRED:
        section = tree
        for part in path:
            section = section.get(part) if isinstance(section, dict) else None
        if isinstance(section, dict) and section.get(last, 0) is None:
            del section[last]
    return tree


def _sentence(error: Mapping[str, Any], schema: type[BaseModel], lines: Mapping, name: str, model: str) -> str:
    loc = tuple(str(part) for part in error["loc"])
    line = next((lines[loc[:n]] for n in range(len(loc), 0, -1) if loc[:n] in lines), None)
    where = f"{name}:{line}" if line else name
    key = ".".join(loc)
    if error["type"] == "extra_forbidden":
        valid = _keys_at(schema, loc[:-1])
        near = difflib.get_close_matches(loc[-1], valid, n=1, cutoff=0.5)
        advice = f"did you mean '{near[0]}'?" if near else f"{model} has no such key here; valid: {', '.join(valid)}"
        return f"{where}: {key}: unknown key - {advice}"
    if error["type"] == "missing":
        return f"{where}: {key}: this key is required"
    message = error["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if not key or isinstance(
        error["input"], (dict, BaseModel)
    ):  # a rule about a whole section: no single value to show
        return f"{where}: {key + ': ' if key else ''}{message}"
    return f"{where}: {key}: {message} (found {error['input']!r})"


def _keys_at(schema: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The valid keys of the section at `path`."""
    for part in path:
        field = schema.model_fields.get(part)
        inner = [field.annotation, *typing.get_args(field.annotation)] if field else []
        sections = [t for t in inner if isinstance(t, type) and issubclass(t, BaseModel)]
        if not sections:
            return []
        schema = sections[0]
    return list(schema.model_fields)


def shipped() -> dict[str, Any]:
    """Name -> resource of every YAML that comes with the package."""
    try:
        folder = files("epurecli.configs")
    except ModuleNotFoundError:  # a source tree that was never installed
        folder = Path(__file__).parents[2] / "configs"
    return {f.name.removesuffix(".yaml"): f for f in folder.iterdir() if f.name.endswith(".yaml")}


def read_source(source: str | Path) -> tuple[str, str]:
    """(text, display name) of a YAML path or the name of a shipped config.

    Raises:
        NotFound: neither; names the shipped ones.
    """
    path = Path(source)
    try:
        if path.is_file():
            if path.stat().st_size > MAX_BYTES:
                raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes; a config is a page of text")
            return path.read_text(encoding="utf-8"), str(path)
        resource = shipped().get(path.name.removesuffix(".yaml")) if path.name == str(source) else None
        if resource is None:
            near = difflib.get_close_matches(str(source).removesuffix(".yaml"), shipped(), n=1)
            raise NotFound(
                f"no config {str(source)!r}: neither a file nor a shipped config"
                + (f" - did you mean {near[0]!r}?" if near else ""),
                hint=f"shipped: {', '.join(sorted(shipped()))}",
            )
        return resource.read_text(encoding="utf-8"), resource.name
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise NotFound(f"{path}: cannot be read: {error.strerror}") from error


def load_config(
    source: str | Path,
    schema_of: SchemaOf,
    overrides: Iterable[str] = (),
    sections: Mapping[str, Any] | None = None,
) -> RunConfig:
    """Read a YAML file (or shipped name), replace whole `sections`, apply `--set` overrides, check.

    Raises:
        ConfigError, NotFound: see `build` and `read_source`.
    """
    text, name = read_source(source)
    tree, lines = parse_yaml(text, name)
    if isinstance(tree, dict):
        tree = apply_overrides({**tree, **(sections or {})}, overrides)
    return build(tree, lines, name, schema_of)


def dump_config(config: RunConfig) -> str:
    """The resolved config as YAML, every default spelled out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
