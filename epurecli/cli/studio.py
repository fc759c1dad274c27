"""`epure studio`."""

from __future__ import annotations

import shlex
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epurecli.cli import console
from epurecli.cli.options import Device

if TYPE_CHECKING:
    from epurecli.api.run import Run


FOLDER = Path("studio")


def studio(
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="Models or run folders, to choose from in the title (default: the newest finished run)."),
    ] = None,
    session: Annotated[
        str | None,
        typer.Option(help="What is drawn and kept goes to <out>/<session>.json (default: the model's name)."),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On this machine only (default: a free one).")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page, or only say where it is.")
    ] = True,
    out: Annotated[Path, typer.Option(help="Folder of sessions and exports.")] = FOLDER,
    device: Device = "auto",
) -> None:
    """Draw, complete, vary and choose designs in the browser. Ends with Ctrl-C; everything is kept."""
    from epurecli.cli.progress import listening
    from epurecli.studio.server import Server

    with listening() as listener:
        opened = [_opened(name, device) for name in runs or [_newest()]]
        for run in opened:
            console.note(run.summary)
        server = Server(opened, folder=out, session=session, port=port, renewed=_renewed, listener=listener)
        ended = threading.Event()
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), lambda *_: ended.set())
        with server:
            console.say(f"studio: {server.address}")
            console.note(f"session: {server.room.session.path} (every change is saved); Ctrl-C ends the studio")
            if browser:
                _open(server.address)
            else:
                console.note(
                    f"from another machine: ssh -L {server.port}:127.0.0.1:{server.port} THIS_MACHINE, "
                    "then open the same address there"
                )
            while not ended.wait(0.5):  # short: Windows notices Ctrl-C between waits only
                pass
    where = [] if out == FOLDER else ["--out", str(out)]
    again = ["epure", "studio", *(runs or []), "--session", session or opened[0].model, *where]
    console.note(f"the studio has ended; go on with: {shlex.join(again)}")


def _opened(name: str, device: str) -> Run:
    from epurecli.api.loading import load

    return load(name, device=device)


def _newest() -> str:
    """The newest finished run of any model under outputs/. Raises: NotFound."""
    from epurecli.checkpoint import newest_run, read_run
    from epurecli.errors import NotFound
    from epurecli.models.registry import REGISTRY

    found = []
    for model in REGISTRY:
        try:
            folder = newest_run(Path("outputs") / model, model)
            found.append((str(read_run(folder).get("created", "")), str(folder)))
        except NotFound:
            continue
    if not found:
        raise NotFound("no finished run under outputs", "train one: epure train vae --config vae_toy --budget 120s")
    return max(found)[1]


def _renewed(address: str) -> None:
    console.note(f"for another browser: {address}")


def _open(address: str) -> None:
    import webbrowser

    if not webbrowser.open(address):
        console.note("no browser was found: open the address yourself")
