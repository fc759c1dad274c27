"""The server: bound to loopback, in a thread of its own."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import uvicorn

from epurecli.api.run import Run
from epurecli.errors import EpureError, UsageError
from epurecli.listener import QUIET, Listener
from epurecli.studio.app import application
from epurecli.studio.messages import LARGEST
from epurecli.studio.room import Room

HOST = "127.0.0.1"
FOLDER = Path("studio")
_START_S = 20.0


class Server:
    """A studio that runs until it is closed.

    Args:
        runs: trained models, of the same parts and size.
        folder: of sessions and exports.
        session: its name (default: the first run's model).
        port: 0 takes a free one.
        renewed: told the next address whenever one was used: each is good once.
        framed: whether a notebook may show it.

    Raises: UsageError: the port is taken; see `Room`.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        *,
        folder: Path = FOLDER,
        session: str | None = None,
        port: int = 0,
        renewed: Callable[[str], None] = lambda address: None,
        framed: bool = False,
        listener: Listener = QUIET,
    ) -> None:
        self._socket = _bound(port)
        self.port: int = self._socket.getsockname()[1]
        try:
            self.room = Room(runs, folder, session, listener)
        except BaseException:
            self._socket.close()
            raise
        self._gate = application(self.room, self.port, lambda token: renewed(self.address), framed)
        height, width = self.room.size
        config = uvicorn.Config(
            self._gate,
            log_level="critical",
            access_log=False,  # addresses hold tokens
            server_header=False,
            ws="websockets-sansio",
            ws_max_size=4 * max(LARGEST, 8 * height * width + 16_384),  # a message within it is refused with a sentence
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=1,
            proxy_headers=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="studio-server", daemon=True
        )

    @property
    def address(self) -> str:
        """What to open; good once."""
        return f"http://{HOST}:{self.port}/?token={self._gate.token}"

    def start(self) -> Self:
        """Returns when pages are answered. Raises: EpureError: the server does not come up."""
        self._thread.start()
        until = time.monotonic() + _START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                raise EpureError("the studio's server did not start", "try another --port")
            time.sleep(0.01)
        self.room.prepare()
        return self

    def close(self) -> None:
        """End it; what is drawn stays in the session."""
        self._server.should_exit = True
        self._thread.join(5)
        self.room.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()


def _bound(port: int) -> socket.socket:
    """Raises: UsageError."""
    # The protocol is named, for asyncio turns Nagle's algorithm off where it is: else a small message, such as that the
    # session is saved, holds the next picture back for 40 ms, until the browser has acknowledged it.
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":  # where it lets a server come back at once, and nobody share the port
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
    except OSError as error:
        found.close()
        raise UsageError(f"--port {port}: {error.strerror}", "leave it out: a free one is taken") from error
    return found
