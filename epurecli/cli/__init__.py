"""The command line. One thin file per command; the only place that prints. Nothing heavy is imported before a command
runs."""

from epurecli.cli.app import main

__all__ = ["main"]
