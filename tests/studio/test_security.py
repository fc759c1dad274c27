"""Who is let in: each line of the list in SECURITY.md, tried on a real server."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
from studio.client import Page, cookie_of
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import epurecli as epure
from epurecli.errors import UsageError
from epurecli.studio.connection import MOST
from epurecli.studio.server import Server
from epurecli.studio.session import checked_name


def get(server: Server, path: str = "/", **headers: str) -> tuple[HTTPResponse, str]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer, body


def refused_socket(server: Server, **headers: str) -> tuple[int, str]:
    host = f"127.0.0.1:{server.port}"
    origin = headers.pop("Origin", f"http://{host}")
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://{host}/socket", origin=origin, additional_headers=headers, compression=None)
    return refused.value.response.status_code, refused.value.response.body.decode()


def test_it_listens_on_one_address_of_loopback(server: Server) -> None:
    assert server._socket.getsockname() == ("127.0.0.1", server.port)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.port), timeout=5)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[::1]", "localhost:x", ""])
def test_other_host_names_are_refused(server: Server, host: str) -> None:
    answer, body = get(server, Host=host, Cookie=cookie_of(server))
    assert answer.status == 400
    assert "127.0.0.1 and localhost" in body


@pytest.mark.parametrize("host", ["localhost:9999", "127.0.0.1:1", "localhost"])
def test_any_port_is_taken_as_ssh_changes_it(server: Server, host: str) -> None:
    answer, _ = get(server, Host=host, Cookie=cookie_of(server))
    assert answer.status == 200
    port = host.partition(":")[2]
    assert f"ws://localhost:{port};" in answer.headers["Content-Security-Policy"] or not port


@pytest.mark.parametrize("path", ["/", "/web/main.mjs", "/exports/x.zip", "/nothing"])
def test_nothing_is_shown_without_the_cookie(server: Server, path: str) -> None:
    for headers in (
        {},
        {"Cookie": f"epure-{server.port}=wrong"},
        {"Cookie": "epure-1=" + cookie_of(server).split("=")[1]},
    ):
        answer, body = get(server, path, **headers)
        assert answer.status == 403
        assert "terminal" in body


def test_the_token_is_good_once_and_the_next_is_told(serve: Callable[..., Server]) -> None:
    told: list[str] = []
    server = serve(renewed=told.append)
    first = server.address.partition(str(server.port))[2]
    answer, _ = get(server, first)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"epure-{server.port}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    again, body = get(server, first)
    assert again.status == 403
    assert "once" in body
    assert told == [server.address]
    assert get(server, told[0].partition(str(server.port))[2])[0].status == 303


@pytest.mark.parametrize("token", ["", "x", "%00", "é", "a" * 10_000])
def test_a_wrong_token_is_refused(server: Server, token: str) -> None:
    answer, _ = get(server, f"/?token={token.encode().hex() if not token.isascii() else token}")
    assert answer.status == 403


def test_a_cookie_of_a_stranger_beside_ours_does_no_harm(server: Server) -> None:
    ours = cookie_of(server)
    assert get(server, Cookie=f'junk={{"a b";; =; {ours}; epure-1=x')[0].status == 200


def test_headers_forbid_all_but_the_page_itself(server: Server) -> None:
    answer, _ = get(server, Cookie=cookie_of(server))
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["connect-src"].split() == ["'self'", *(f"ws://{n}:{server.port}" for n in ("127.0.0.1", "localhost"))]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert (
        answer.headers["Cross-Origin-Resource-Policy"] == answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    )
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_modules_have_their_type_whatever_the_system_says(server: Server) -> None:
    answer, _ = get(server, "/web/main.mjs", Cookie=cookie_of(server))
    assert answer.headers["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "path", ["/web/../app.py", "/web/..%2Fapp.py", "/web/%2e%2e%2fapp.py", "/web/", "/exports/..%2Fvae.zip"]
)
def test_no_other_file_is_served(server: Server, path: str) -> None:
    assert get(server, path, Cookie=cookie_of(server))[0].status == 404


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1"])
def test_other_origins_get_no_socket(server: Server, origin: str) -> None:
    status, body = refused_socket(server, Origin=origin, Cookie=cookie_of(server))
    assert status == 403
    assert "Another page" in body


def test_no_cookie_no_socket(server: Server) -> None:
    status, body = refused_socket(server, Cookie="epure-1=x")
    assert status == 403
    assert "terminal" in body


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Invalid JSON"),
        ("[]", "an object"),
        ('{"kind":"shutdown"}', "does not match any"),
        ('{"kind":"drop","id":"a","path":"/etc/passwd"}', "Extra inputs"),
        ('{"kind":"drop","id":"../a"}', "pattern"),
        ('{"kind":"settings","settings":{"brush":1e9}}', "settings.brush"),
        ('{"kind":"settings","settings":{"scale_mm":NaN}}', "settings.scale_mm"),
        ('{"kind":"export","seq":1,"ids":["x"],"formats":["../x"]}', "formats"),
    ],
)
def test_unknown_messages_are_refused_with_a_sentence(page_of: Page, text: str, said: str) -> None:
    page_of.socket.send(text)
    error = page_of.next_error()
    assert said in error["message"]
    assert page_of.draw(page_of.document).labels.shape[0] == 24  # and the page goes on


def test_a_message_too_large_is_refused_with_a_sentence(page_of: Page) -> None:
    page_of.socket.send(json.dumps({"kind": "drop", "id": "a" * 70_000}))
    assert "characters" in page_of.next_error()["message"]
    page_of.socket.send("x" * 400_000)
    with pytest.raises(ConnectionClosed):
        page_of.next("never")


def test_documents_that_do_not_fit_the_model_are_refused(page_of: Page, run: epure.Run) -> None:
    whole = page_of.document
    for change, said in (
        ({"paint": whole.paint[:-1]}, "pixels"),
        ({"states": whole.states[:-1]}, "parts"),
        ({"brief": whole.brief[:-1]}, "conditions"),
        ({"paint": whole.paint * 0 + 77}, "part"),
        ({"states": ("given", *whole.states[1:])}, "empty"),
    ):
        page_of.send(kind="draw", document=whole.model_copy(update=change).model_dump(mode="json"))
        assert said in page_of.next_error()["message"]
    page_of.send(kind="draw", run=5, document=whole.model_dump(mode="json"))
    assert "no run 5" in page_of.next_error()["message"]


def test_so_many_pages_and_no_more(serve: Callable[..., Server], visit: Callable[..., Page]) -> None:
    server = serve()
    cookie = cookie_of(server)
    for _ in range(MOST):
        visit(server, cookie)
    one_more = visit(server, cookie)
    assert str(MOST) in one_more.hello["message"]


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "", ".hidden", "x\n", "x.", "C:", "a" * 61])
def test_a_session_stays_in_its_folder(name: str) -> None:
    with pytest.raises(UsageError, match="expected letters"):
        checked_name(name)


def test_what_may_be_called_a_session() -> None:
    assert checked_name("pneu d-été 2026") == "pneu d-été 2026"


def test_a_session_is_one_studio_s(serve: Callable[..., Server], tmp_path: Path) -> None:
    serve(session="mine")
    with pytest.raises(UsageError, match="in use by process"):
        serve(session="mine")
    serve(session="other")
    assert not (tmp_path / "mine.json").exists()


def test_a_taken_port_is_said(serve: Callable[..., Server]) -> None:
    server = serve()
    with pytest.raises(UsageError, match="--port"):
        serve(port=server.port, session="other")
