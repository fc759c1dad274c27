"""The web application: the page, its files, the socket, exports to take away."""

from __future__ import annotations

import asyncio
import gzip
import io
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from epurecli.studio.connection import Connection
from epurecli.studio.room import Room
from epurecli.studio.security import Gate

WEB = Path(__file__).parent / "web"
# Named here: Windows takes the types of .mjs and .js from its registry, and modules of another type do not load.
TYPES = {".html": "text/html", ".css": "text/css", ".mjs": "text/javascript", ".svg": "image/svg+xml"}


def application(room: Room, port: int, renewed: Callable[[str], None], framed: bool = False) -> Gate:
    """Everything behind the gate."""

    async def page(request: Request) -> Response:
        return _file("index.html", request)

    async def file(request: Request) -> Response:
        return _file(request.path_params["name"], request)

    async def taken(request: Request) -> Response:
        folder = room.exports.get(request.path_params["name"])
        if folder is None:
            return PlainTextResponse("There is no such export.", 404)
        content = await asyncio.to_thread(_zipped, folder)
        headers = {"content-disposition": f'attachment; filename="{folder.name}.zip"'}
        return Response(content, media_type="application/zip", headers=headers)

    async def talk(socket: WebSocket) -> None:
        await Connection(socket, room).serve()

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        saving = asyncio.create_task(room.keep_saving())
        try:
            yield
        finally:
            saving.cancel()

    routes = [
        Route("/", page),
        Route("/web/{name}", file),
        Route("/exports/{name}.zip", taken),
        WebSocketRoute("/socket", talk),
    ]
    return Gate(Starlette(routes=routes, lifespan=life), port, renewed, framed)


def _file(name: str, request: Request) -> Response:
    """A file of the page; the names there are, not the one that is asked for, make the path."""
    path = next((p for p in WEB.iterdir() if p.name == name and p.suffix in TYPES), None)
    if path is None:
        return PlainTextResponse("There is no such file.", 404)
    content, headers = path.read_bytes(), {"vary": "accept-encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):  # a page that travels through ssh is a third as long
        content, headers["content-encoding"] = gzip.compress(content, mtime=0), "gzip"
    return Response(content, media_type=TYPES[path.suffix], headers=headers)


def _zipped(folder: Path) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, Path(folder.name) / path.relative_to(folder))
    return content.getvalue()
