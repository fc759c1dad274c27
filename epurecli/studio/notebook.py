"""The studio in a notebook: `epure.studio(run)`."""

from __future__ import annotations

import atexit
import html
from pathlib import Path

from epurecli.api.run import Run
from epurecli.studio.server import FOLDER, Server


class Frame:
    """A running studio; shown by a notebook as a frame, by a terminal as an address."""

    def __init__(self, server: Server, height: int) -> None:
        self._server, self._height = server, height

    @property
    def address(self) -> str:
        """To be opened in a browser of this machine; good once."""
        return self._server.address.replace("127.0.0.1", "localhost", 1)  # as notebooks are: cookies stay within a site

    def close(self) -> None:
        """End the server; what is drawn stays in the session."""
        atexit.unregister(self.close)
        self._server.close()

    def __repr__(self) -> str:
        return f"<studio: {self.address}>"

    def _repr_html_(self) -> str:
        address = html.escape(self.address)
        frame = f'<iframe src="{address}" width="100%" height="{self._height}" style="border:1px solid #8884"></iframe>'
        return f"{frame}<p>An empty frame? Print the studio and open the address that it says.</p>"


def show(*runs: Run, session: str | None = None, folder: str | Path = FOLDER, height: int = 860) -> Frame:
    """A studio for these runs, served on loopback until it is closed or Python ends.

    Args:
        session: its name (default: the first run's model); the file is `<folder>/<session>.json`.
        height: of the frame, in pixels.

    Raises: UsageError: no run; runs of different parts; a session that is open elsewhere.
    """
    server = Server(runs, folder=Path(folder), session=session, framed=True).start()
    frame = Frame(server, height)
    atexit.register(frame.close)
    return frame
