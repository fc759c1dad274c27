"""A run that was trained in a second, and studios that serve it for real, on free ports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from studio.client import Page, cookie_of
from websockets.sync.client import connect

import epurecli as epure
from epurecli.studio.server import Server

SETTINGS = ("data.toy.count=160", "training.epochs=1")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `outputs/vae` holds a run."""
    folder = tmp_path_factory.mktemp("studio")
    epure.train("vae_toy_test", settings=SETTINGS, out=folder / "outputs" / "vae")
    return folder


@pytest.fixture(scope="session")
def run(home: Path) -> epure.Run:
    (folder,) = (home / "outputs" / "vae").iterdir()
    return epure.load(folder)


@contextmanager
def _serving(folder: Path, run: epure.Run) -> Iterator[Callable[..., Server]]:
    """ONNX is left out: an export takes long."""
    servers: list[Server] = []

    def start(*runs: epure.Run, **settings: Any) -> Server:
        servers.append(Server(runs or (run,), **{"folder": folder, **settings}).start())
        return servers[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("epurecli.studio.room.worthwhile", lambda run: False)
        yield start
        for server in servers:
            server.close()


@pytest.fixture
def serve(tmp_path: Path, run: epure.Run) -> Iterator[Callable[..., Server]]:
    """Studios of a test's own, in an empty folder: `serve()`, `serve(run, other)`, `serve(port=...)`."""
    with _serving(tmp_path / "studio", run) as start:
        yield start


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, run: epure.Run) -> Iterator[Server]:
    """One studio for tests that leave it as it is."""
    with _serving(tmp_path_factory.mktemp("shared"), run) as start:
        yield start()


@pytest.fixture
def visit() -> Iterator[Callable[..., Page]]:
    """A page of a server: `visit(server)`."""
    with ExitStack() as sockets:

        def open_page(server: Server, cookie: str | None = None) -> Page:
            host = f"127.0.0.1:{server.port}"
            socket = connect(
                f"ws://{host}/socket",
                origin=f"http://{host}",
                additional_headers={"Cookie": cookie or cookie_of(server)},
                compression=None,
                max_size=None,
            )
            return Page(sockets.enter_context(socket))

        yield open_page


@pytest.fixture
def page_of(server: Server, visit: Callable[..., Page]) -> Page:
    return visit(server)
