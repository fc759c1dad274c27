"""`epure config show | diff | schema`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epurecli.cli import console
from epurecli.cli.completion import config_names, model_names

if TYPE_CHECKING:
    from epurecli.config import RunConfig

app = typer.Typer(help="Look at configs: every value, what differs, a schema for editors.", no_args_is_help=True)

SOURCE = "A YAML file, the name of a shipped config, or a run folder."
Set = Annotated[list[str], typer.Option("--set", help="Override a key: training.lr=3e-4 (repeatable).")]


@app.command()
def show(
    source: Annotated[str, typer.Argument(help=SOURCE, autocompletion=config_names)],
    set_: Set = [],  # noqa: B006
) -> None:
    """Print a config as a run would keep it: checked, every default spelled out. A YAML file again."""
    from epurecli.config import dump_config

    console.say(dump_config(_load(source, set_)).rstrip("\n"))


@app.command()
def diff(
    one: Annotated[str, typer.Argument(help=SOURCE, autocompletion=config_names)],
    other: Annotated[str, typer.Argument(help=SOURCE, autocompletion=config_names)],
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """List the keys that two configs do not agree on, defaults included."""
    from epurecli.config.compare import ABSENT, differences

    found = differences(_load(one), _load(other))
    if json:
        sides = [(d.key, {"one": d.one, "other": d.other}) for d in found]
        console.say_json({key: {k: v for k, v in values.items() if v is not ABSENT} for key, values in sides})
        return
    if not found:
        console.say("no differences: every key has the same value in both")
        return
    rows = [(d.key, _text(d.one), _text(d.other)) for d in found]
    console.show_table(("key", one, other), rows, prose=(one, other))


@app.command()
def schema(
    model: Annotated[str, typer.Argument(help="`epure models` lists them.", autocompletion=model_names)],
) -> None:
    """Print the JSON schema of a model's configs, for editors that check YAML while it is written."""
    from pydantic.json_schema import GenerateJsonSchema

    from epurecli.models.registry import entry_of, schema_of

    title = f"epure: config of {entry_of(model).title}"
    tree = schema_of(model).model_json_schema()
    console.say_json({"$schema": GenerateJsonSchema.schema_dialect, **tree, "title": title})


def _load(source: str, settings: list[str] = []) -> RunConfig:  # noqa: B006
    from epurecli.config import load_config
    from epurecli.models.registry import schema_of

    own = Path(source) / "config.yaml"
    return load_config(own if own.is_file() else source, schema_of, settings)


def _text(value: Any) -> str:
    """As it is written in YAML, on one line."""
    import yaml

    from epurecli.config.compare import ABSENT

    if value is ABSENT:
        return "-"
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("...\n").rstrip("\n")
