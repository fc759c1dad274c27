"""Who is let in. Loopback is no boundary: every page in the same browser, and every program on the machine, reaches it.

Host names are checked (DNS rebinding), origins of sockets (cross-site requests), and a secret: the address that the
terminal shows has a token, which is good once and is changed for a cookie. Headers forbid the page anything but itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

NAMES = ("127.0.0.1", "localhost")
OTHER_NAME = "This studio answers to the names 127.0.0.1 and localhost only."
NO_COOKIE = (
    "This address alone lets nobody in. Open the one that the terminal of `epure studio` shows; each such address is "
    "good once, and the next one is printed there."
)
OTHER_ORIGIN = "Another page may not talk to this studio."


class Gate:
    """Stands before the application.

    Args:
        app: what is guarded.
        port: that the server listens on; it names the cookie, which browsers do not keep apart by port.
        renewed: told each new token.
        framed: whether pages on this machine, such as a notebook, may show the studio in a frame.
    """

    def __init__(self, app: App, port: int, renewed: Callable[[str], None] = lambda token: None, framed: bool = False):
        self.app, self.port, self._renewed, self._framed = app, port, renewed, framed
        self.token, self._secret = _secret(), _secret()
        self.cookie = f"epure-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        name, _, port = headers.get("host", "").partition(":")
        if name not in NAMES or not (port == "" or port.isdecimal()):
            await _refuse(scope, receive, send, 400, OTHER_NAME)
            return
        if scope["type"] == "websocket" and headers.get("origin") != f"http://{headers['host']}":
            await _refuse(scope, receive, send, 403, OTHER_ORIGIN)
            return
        if not self._knows(headers.get("cookie", "")):
            if scope["type"] == "http" and self._takes(scope):
                await self._let_in(send)
            else:
                await _refuse(scope, receive, send, 403, NO_COOKIE)
            return
        if scope["type"] == "http" and scope["path"] == "/" and scope["query_string"]:
            await _respond(send, 303, b"", [(b"location", b"/")])  # let in already: the token stays for somebody else
            return
        policy = self._policy(port)

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *policy]
            await send(message)

        await self.app(scope, receive, guarded)

    def _knows(self, cookies: str) -> bool:
        """Whether our cookie is among those that the browser has for this name, whatever others wrote there."""
        pairs = (part.strip().partition("=") for part in cookies.split(";"))
        return any(_same(value, self._secret) for name, _, value in pairs if name == self.cookie)

    def _takes(self, scope: Scope) -> bool:
        """Whether the request brings the token; it is good once."""
        if scope["path"] != "/" or scope["method"] != "GET":
            return False
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if not _same(given, self.token):
            return False
        self.token = _secret()
        self._renewed(self.token)
        return True

    async def _let_in(self, send: Send) -> None:
        cookie = f"{self.cookie}={self._secret}; HttpOnly; SameSite=Strict; Path=/"
        await _respond(send, 303, b"", [(b"location", b"/"), (b"set-cookie", cookie.encode())])

    def _policy(self, port: str) -> list[tuple[bytes, bytes]]:
        """Headers of every answer. `port` is the one the browser sees, which `ssh -L` may have changed."""
        suffix = f":{port}" if port else ""
        sockets = " ".join(f"ws://{name}{suffix}" for name in NAMES)
        frames = " ".join(f"http://{name}:*" for name in NAMES) if self._framed else "'none'"
        return [
            (
                b"content-security-policy",
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
                f"connect-src 'self' {sockets}; frame-ancestors {frames}; base-uri 'none'; "
                "form-action 'none'".encode(),
            ),
            *_HEADERS,
        ]


_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


def _secret() -> str:
    return secrets.token_urlsafe(32)


def _same(given: str, expected: str) -> bool:
    return secrets.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, sentence: str) -> None:
    prefix = "websocket." if scope["type"] == "websocket" else ""
    if prefix:
        await receive()  # the wish to connect
    await _respond(send, status, sentence.encode(), [(b"content-type", b"text/plain; charset=utf-8")], prefix)


async def _respond(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]], prefix: str = "") -> None:
    length = (b"content-length", str(len(body)).encode())
    start = {"type": f"{prefix}http.response.start", "status": status, "headers": [length, *headers, *_HEADERS]}
    await send(start)
    await send({"type": f"{prefix}http.response.body", "body": body})
