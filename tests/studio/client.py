"""What tests of the studio share: a page without a browser, and documents to ask it about."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any

import numpy as np
from websockets.sync.client import ClientConnection

import epurecli as epure
from epurecli.studio import messages
from epurecli.studio.picture import Picture
from epurecli.studio.server import Server
from epurecli.studio.session import empty_document


class Page:
    """What a page does, without a browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.seq = socket, 0
        self.hello: dict[str, Any] = json.loads(socket.recv(10))

    @property
    def document(self) -> messages.Document:
        return messages.Document.model_validate(self.hello["document"])

    def send(self, **message: Any) -> int:
        self.seq += 1
        wished = {"draw", "measure", "search", "export"} & {message["kind"]}
        self.socket.send(json.dumps(message | ({"seq": self.seq} if wished else {})))
        return self.seq

    def draw(self, document: messages.Document, **more: Any) -> Picture:
        """The last picture of an answer."""
        seq = self.send(kind="draw", document=document.model_dump(mode="json"), **more)
        while True:
            picture = self.next(bytes)
            if picture[0] == seq and not picture[1].preview:
                return picture[1]

    def next(self, kind: Any) -> Any:
        """The next frame, or the next message of a kind; an error that nobody waits for fails the test."""
        while True:
            data = self.socket.recv(20)
            if isinstance(data, bytes):
                if kind is bytes:
                    return messages.unframe(data)
                continue
            message = json.loads(data)
            if message["kind"] == kind:
                return message
            assert message["kind"] != "error", message

    def next_error(self) -> dict[str, Any]:
        while True:
            data = self.socket.recv(20)
            if isinstance(data, str) and (message := json.loads(data))["kind"] == "error":
                return message


def cookie_of(server: Server) -> str:
    """Let in as a browser is: by the address."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", server.address.partition(str(server.port))[2])
    answer = connection.getresponse()
    assert answer.status == 303
    connection.close()
    return str(answer.headers["Set-Cookie"]).partition(";")[0]


def blank(run: epure.Run) -> messages.Document:
    """A document that asks for nothing."""
    return empty_document(len(run.components), tuple(run.config.model.image_size), run.trained.scaler.columns)


def painted(document: messages.Document, labels: np.ndarray, *parts: int) -> messages.Document:
    """The document with these parts of a design given."""
    flat = labels.ravel()
    paint = np.where(np.isin(flat, parts), flat, document.paint).astype(np.uint8)
    states = tuple("given" if c + 1 in parts else state for c, state in enumerate(document.states))
    return document.model_copy(update={"paint": paint, "states": states})
