"""One page's socket: reads what it wants, does the newest, and says what came of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from epurecli.errors import EpureError, UsageError
from epurecli.studio import messages
from epurecli.studio.advice import over_draws
from epurecli.studio.engine import Engine, Superseded
from epurecli.studio.exporting import export
from epurecli.studio.facts import facts_of
from epurecli.studio.messages import Draw, Drop, Export, Fit, Keep, Measure, Message, Save, Search, Set
from epurecli.studio.picture import Picture
from epurecli.studio.room import Room
from epurecli.studio.searching import search

MOST = 8  # pages at once
COMMENT_S, PAUSE_S = 0.5, 0.05  # seconds between comments while a hand moves, and without an event until it rests
MOST_WAITING = 1000  # facts that a page may wait for: of all that is kept, twice
TOO_MANY = f"{MOST} pages are open already: close one of them"


class Connection:
    """Reading goes on while something is computed: of drawings the newest is begun, and an older one is stopped."""

    def __init__(self, socket: WebSocket, room: Room) -> None:
        self._socket, self._room = socket, room
        self._waiting: dict[str, Draw | Measure] = {}
        self._awake = asyncio.Event()
        self._out: asyncio.Queue[bytes | str] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._longer: asyncio.Task[None] | None = None
        self._closed = False
        self._commented = 0.0  # when something was last said of a picture

    async def serve(self) -> None:
        """Until the page goes."""
        await self._socket.accept()
        if len(self._room.pages) >= MOST:
            await self._socket.send_text(json.dumps({"kind": "error", "seq": None, "message": TOO_MANY, "hint": None}))
            await self._socket.close(1013, TOO_MANY)
            return
        self._room.pages.add(self.tell)
        self._out.put_nowait(_json(self._room.hello()))  # before anything that other threads announce meanwhile
        tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._work())]
        try:
            await self._read()
        except WebSocketDisconnect:
            pass
        finally:
            self._closed = True
            self._room.pages.discard(self.tell)
            for task in (*tasks, *([self._longer] if self._longer else [])):
                task.cancel()

    def tell(self, message: dict[str, Any]) -> None:
        """Send JSON, from any thread."""
        self._post(_json(message))

    def _post(self, data: bytes | str) -> None:
        if not self._closed and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._out.put_nowait, data)

    async def _send(self) -> None:
        while True:
            data = await self._out.get()
            try:
                await (self._socket.send_bytes(data) if isinstance(data, bytes) else self._socket.send_text(data))
            except (WebSocketDisconnect, RuntimeError):
                self._closed = True
                return
            finally:
                self._out.task_done()

    async def _read(self) -> None:
        height, width = self._room.size
        most = max(messages.LARGEST, 8 * height * width + 16_384)
        while True:
            text = await self._socket.receive_text()
            try:
                if len(text) > most:
                    raise UsageError(f"a message of {len(text):,} characters; the studio takes {most:,}")
                self._take(messages.parse(text))
            except EpureError as error:
                self._refuse(error, None)

    def _take(self, message: Message) -> None:
        """Do what is quick; put aside what is to be computed."""
        session = self._room.session
        match message:
            case Draw():
                session.update(document=message.document)
                self._put_aside("draw", message)
            case Measure():
                self._put_aside(f"measure {message.seq}", message)
            case Save():
                session.update(document=message.document)
            case Set():
                session.update(settings=message.settings)
            case Keep():
                session.keep(message.design)
                self._tell_others({"kind": "kept", "design": message.design.model_dump(mode="json")})
            case Drop():
                session.drop(message.id)
                self._tell_others({"kind": "dropped", "id": message.id})
            case Search() | Fit() | Export():
                if self._longer is not None and not self._longer.done():
                    raise UsageError("something that takes longer is going on already", "wait until it is done")
                self._longer = asyncio.create_task(self._do_longer(message))

    def _tell_others(self, message: dict[str, Any]) -> None:
        for page in self._room.pages - {self.tell}:
            page(message)

    def _put_aside(self, key: str, message: Draw | Measure) -> None:
        if len(self._waiting) > MOST_WAITING:
            raise UsageError("too much is asked for at once")
        self._waiting.pop(key, None)
        self._waiting[key] = message
        self._awake.set()

    async def _work(self) -> None:
        while True:
            await self._awake.wait()
            while self._waiting:
                self._awake.clear()  # what comes from now on is newer
                key = "draw" if "draw" in self._waiting else next(iter(self._waiting))
                message = self._waiting.pop(key)
                picture = await self._loop.run_in_executor(self._room.worker, self._compute, message)
                await self._out.join()  # the picture first: Python's threads take turns, and what follows takes longer
                if picture is None or (isinstance(message, Draw) and await self._goes_on()):
                    continue
                await self._loop.run_in_executor(self._room.worker, self._comment, message, picture)
                await self._out.join()
                self._commented = self._loop.time()

    async def _goes_on(self) -> bool:
        """Whether the hand goes on moving: then pictures come first, and what is said of them only now and then."""
        if self._loop.time() - self._commented < COMMENT_S:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), PAUSE_S)
        return self._outdated()

    # --- in the thread that computes ----------------------------------------------------------------------------------

    def _outdated(self) -> bool:
        return self._closed or "draw" in self._waiting

    def _compute(self, message: Draw | Measure) -> Picture | None:
        """The pictures of an answer; returns the last, of which more can be said."""
        try:
            engine = self._engine(message.run)
            if isinstance(message, Draw):
                return self._draw(engine, message)
            pixels = self._room.size[0] * self._room.size[1]
            if len(message.labels) != pixels:
                raise UsageError(f"a design of {len(message.labels)} pixels; expected {pixels}")
            return Picture(message.labels.reshape(1, *self._room.size), np.zeros(1, np.uint32))
        except Superseded:
            pass
        except EpureError as error:
            self._refuse(error, message.seq)
        except Exception as error:  # a page that waits for ever helps nobody
            self._apologise(error, message.seq)
        return None

    def _comment(self, message: Draw | Measure, picture: Picture) -> None:
        """What can be said of a picture, until something newer is wanted."""
        try:
            self._say_facts(message, picture, self._outdated if isinstance(message, Draw) else lambda: False)
            if isinstance(message, Draw) and picture.draws and not picture.nearest and not self._outdated():
                self._say_spread(message)
        except (EpureError, Superseded):
            pass  # the picture stands without
        except Exception as error:
            self._apologise(error, message.seq)

    def _draw(self, engine: Engine, message: Draw) -> Picture | None:
        last: Picture | None = None

        def progress(done: int, total: int) -> None:
            self.tell({"kind": "progress", "seq": message.seq, "done": done, "total": total})

        for picture in engine.answer(
            message.document, self._outdated, first=message.first, closer=message.refine, progress=progress
        ):
            self._post(messages.frame(message.seq, picture))
            last = picture
        return last

    def _say_facts(self, message: Draw | Measure | Search, picture: Picture, stop: Callable[[], bool]) -> None:
        room, run = self._room, self._room.runs[message.run]
        facts = facts_of(picture.labels, len(run.components), room.training[message.run], stop)
        if facts is None:
            return
        answer: dict[str, Any] = {"kind": "facts", "seq": message.seq, "facts": facts}
        self.tell(answer)
        if stop() or not room.advice[message.run].ready:
            return
        answer["predicted"] = room.advice[message.run].predicted(picture.labels)
        if picture.draws and not picture.nearest:
            answer["spread"] = over_draws({name: rows[1:] for name, rows in answer["predicted"].items()})
        self.tell(answer)

    def _say_spread(self, message: Draw) -> None:
        given = tuple(state in ("given", "none") for state in message.document.states)
        ratio, designs = self._room.spread(message.run, given, self._outdated)
        if ratio is not None:
            self.tell({"kind": "spread", "seq": message.seq, "ratio": ratio, "designs": designs})

    # --- what takes longer --------------------------------------------------------------------------------------------

    async def _do_longer(self, message: Search | Fit | Export) -> None:
        seq = getattr(message, "seq", None)
        try:
            match message:
                case Search():
                    self._engine(message.run)
                    picture = await asyncio.to_thread(search, self._room, message)
                    self._room.advice[message.run].ready = True  # the search has fitted it where it was not
                    self._post(messages.frame(message.seq, picture))
                    self.tell({"kind": "designed", "seq": message.seq})
                    say = partial(self._say_facts, message, picture, lambda: False)
                    await self._loop.run_in_executor(self._room.worker, say)
                case Fit():
                    self._engine(message.run)
                    await asyncio.to_thread(self._room.fit, message.run)
                    self.tell({"kind": "fitted"})
                case Export():
                    self.tell({"kind": "exported", "seq": seq, **await asyncio.to_thread(export, self._room, message)})
        except EpureError as error:
            self._refuse(error, seq)
        except Exception as error:
            self._apologise(error, seq)

    def _engine(self, run: int) -> Engine:
        if run >= len(self._room.engines):
            raise UsageError(f"there is no run {run}: {len(self._room.engines)} are open")
        return self._room.engines[run]

    def _refuse(self, error: EpureError, seq: int | None) -> None:
        self.tell({"kind": "error", "seq": seq, "message": error.message, "hint": error.hint})

    def _apologise(self, error: Exception, seq: int | None) -> None:
        what = f"unexpected {type(error).__name__}: {error}"
        self._refuse(EpureError(what, "this is a fault of epure: please report it"), seq)
        self._room.listener.warn(f"studio: {what}")


def _json(message: dict[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False, allow_nan=False)
