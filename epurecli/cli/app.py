"""The command tree, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress
from typing import Annotated

import typer

from epurecli.cli import console
from epurecli.errors import CannotWrite, EpureError

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
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal's encoding lacks is shown by its number
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))  # commands that can save first install their own handler
    for name, code in (("SIGTERM", 143), ("SIGHUP", 129)):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup means to be left alone
            signal.signal(number, lambda *_, code=code: sys.exit(code))
    argv = [a for a in sys.argv[1:] if a != "--debug"]  # accepted before and after the command's name
    try:
        app(args=argv, prog_name="epure")
    except EpureError as error:
        if debug:
            raise
        console.show_error(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        _forget_output()
        sys.exit(0)  # `epure ... | head`
    except SystemExit as end:
        if end.code == 1 and type(sys.stdout).__name__ == "PacifyFlushWrapper":  # how click says it
            sys.exit(0)
        raise
    except Exception as error:
        if debug:
            raise
        known = _of_the_system(error)
        if known is not None:
            console.show_error(known)
            sys.exit(known.exit_code)
        console.show_error(
            EpureError(
                f"unexpected {type(error).__name__}: {error}",
                hint="this is a fault of epure: run the same command with --debug and report what it prints",
            )
        )
        sys.exit(1)


def _forget_output() -> None:
    """The reader has gone: what Python still holds for it must not fail at the very end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _of_the_system(error: Exception) -> EpureError | None:
    """What the operating system refuses, said as such."""
    from epurecli.files import FULL

    if isinstance(error, MemoryError):
        return EpureError("there is not enough memory", "ask for less at once: fewer designs, a smaller batch or model")
    if not isinstance(error, OSError) or error.strerror is None:
        return None
    where = f"{error.filename}: " if error.filename is not None else ""
    advice = (FULL | _ADVICE).get(error.errno or 0, "check the path and its permissions")
    return CannotWrite(f"{where}{error.strerror}", advice)


_ADVICE = {
    errno.EROFS: "the folder can only be read: name another one with --out",
    errno.EACCES: "the folder or file is not yours to use: name another one with --out, or change its permissions",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
    errno.EMFILE: "too many files are open: raise the limit with `ulimit -n`",
    errno.EIO: "the disk failed: look at it before anything else is written there",
}
