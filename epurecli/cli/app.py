"""The command tree, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from epurecli.cli import console
from epurecli.errors import EpureError

app = typer.Typer(
    name="epure",
    help="Generate multi-component designs: train a model, then sample it freely, at given dimensions, "
    "or around the parts you have.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from epurecli.version import __version__

        typer.echo(f"epure {__version__}")
        raise typer.Exit


@app.callback()
def root(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print results only.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    console.Settings.quiet = quiet


def main() -> None:
    """Entry point of the `epure` command."""
    from epurecli.cli import commands
    from epurecli.threads import limit_spinning

    limit_spinning()  # before a command loads torch
    commands.register(app)
    debug = "--debug" in sys.argv
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))  # commands that can save first install their own handler
    if hasattr(signal, "SIGTERM"):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    argv = [a for a in sys.argv[1:] if a != "--debug"]  # accepted before and after the command's name
    try:
        app(args=argv, prog_name="epure")
    except EpureError as error:
        if debug:
            raise
        console.show_error(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(0)  # `epure ... | head`
    except Exception as error:
        if debug:
            raise
        console.show_error(
            EpureError(
                f"unexpected {type(error).__name__}: {error}",
                hint="this is a fault of epure: run the same command with --debug and report what it prints",
            )
        )
        sys.exit(1)
