"""What is drawn: the designs that the library draws, bit for bit; what is given stays; wishes are met."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from studio.client import Page, blank, painted

import epurecli as epure
from epurecli.api.engines import Engine as Backend
from epurecli.errors import UsageError
from epurecli.studio import advice
from epurecli.studio.engine import VARIANTS, Engine, Superseded, counted
from epurecli.studio.messages import UNSAID, Document, Wish
from epurecli.studio.server import Server


@pytest.fixture(scope="module")
def engine(run: epure.Run) -> Engine:
    return Engine(run)


def last(engine: Engine, document: Document, **more: object) -> object:
    return list(engine.answer(document, **more))[-1]  # type: ignore[arg-type]


def wishing(document: Document, **wishes: Wish) -> Document:
    columns = ("width_px", "height_px")
    return document.model_copy(update={"brief": tuple(wishes.get(name, Wish()) for name in columns)})


@pytest.mark.parametrize(
    ("wishes", "values"),
    [
        ({}, {"mode": "unconditional"}),
        ({"width_px": Wish(mode="target", value=57.0)}, {"width_px": 57.0}),
        ({"width_px": Wish(mode="range", low=52, high=60)}, {"width_px": (52, 60)}),
        (
            {"width_px": Wish(mode="target", value=57.0), "height_px": Wish(mode="target", value=50)},
            {"width_px": 57.0, "height_px": 50},
        ),
    ],
)
def test_a_thumbnail_is_what_sample_draws(page_of: Page, run: epure.Run, wishes: dict, values: dict) -> None:
    document = wishing(blank(run), **wishes).model_copy(update={"seed": 7})
    picture = page_of.draw(document)
    designs = run.sample(VARIANTS, seed=7, crisp=True, **values)
    np.testing.assert_array_equal(picture.labels, designs.labels)
    np.testing.assert_array_equal(picture.numbers, range(VARIANTS))


def test_completions_are_what_complete_draws(engine: Engine, run: epure.Run) -> None:
    design = run.sample(1, seed=3, mode="unconditional", crisp=True).labels[0]
    document = painted(wishing(blank(run), width_px=Wish(mode="target", value=56.0)), design, 2, 4)
    picture = last(engine, document)
    copies = advice.as_designs(run, np.repeat(design[None], document.draws, 0))
    parts = [run.components[1], run.components[3]]
    expected = run.complete(copies.only(*parts), draws=1, seed=0, crisp=True, width_px=56.0)
    np.testing.assert_array_equal(picture.labels[1:], expected.labels)
    assert picture.draws == document.draws == len(picture.labels) - 1


def test_the_first_of_completions_is_their_majority(engine: Engine, run: epure.Run) -> None:
    design = run.sample(1, seed=3, mode="unconditional", crisp=True).labels[0]
    picture = last(engine, painted(blank(run), design, 2))
    votes = np.stack([(picture.labels[1:] == owner).sum(0) for owner in range(len(run.components) + 1)])
    winner = np.take_along_axis(votes, picture.labels[:1].astype(int), 0)[0]
    np.testing.assert_array_equal(winner, votes.max(0))
    np.testing.assert_array_equal(picture.counts, votes[1:])


@pytest.mark.parametrize("parts", [(1,), (2, 5), (1, 2, 3, 4)])
def test_what_is_given_stays_bit_for_bit(engine: Engine, run: epure.Run, parts: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(run.components) + 1, blank(run).paint.size).astype(np.uint8)  # as no model would
    document = painted(blank(run), drawn, *parts)
    given = np.isin(document.paint, parts)
    for labels in last(engine, document).labels:
        np.testing.assert_array_equal(labels.ravel()[given], document.paint[given])
        assert not np.isin(labels.ravel()[~given], parts).any()


def test_what_is_given_stays_where_a_model_would_overlap_it(run: epure.Run) -> None:
    """A tie between owners goes to the first component; a given one keeps its pixels all the same."""
    engine = Engine(run)
    everything = lambda query, noise: torch.ones(len(noise), len(query), *query.observed.shape[1:])  # noqa: E731
    engine.use(Backend("torch", "greedy", everything, torch.device("cpu"), False))
    document = painted(blank(run), np.full(blank(run).paint.size, 5, np.uint8), 5)
    assert (last(engine, document).labels == 5).all()


def test_a_part_may_be_absent_on_purpose(engine: Engine, run: epure.Run) -> None:
    document = blank(run).model_copy(update={"states": ("none", *blank(run).states[1:])})
    assert not (last(engine, document).labels == 1).any()


def test_nothing_is_left_to_draw(engine: Engine, run: epure.Run) -> None:
    document = blank(run).model_copy(update={"states": ("none",) * len(run.components)})
    with pytest.raises(UsageError, match="every part is given"):
        last(engine, document)


def test_a_model_that_cannot_complete_says_so(run: epure.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from epurecli.types import Mode

    monkeypatch.setattr(type(run.trained.model), "modes", frozenset({Mode.UNCONDITIONAL, Mode.CONDITIONAL}))
    engine = Engine(run)
    assert not engine.completes
    design = np.ones(blank(run).paint.size, np.uint8)
    with pytest.raises(UsageError, match="cannot complete"):
        last(engine, painted(blank(run), design, 1))
    assert last(engine, blank(run)).labels.shape[0] == VARIANTS


def test_strokes_rank_designs_and_a_second_look_comes_nearer(engine: Engine, run: epure.Run) -> None:
    paint = blank(run).paint.copy()
    design = run.sample(1, seed=11, mode="unconditional", crisp=True).labels[0].ravel()
    stroke = np.flatnonzero(design == 2)[:40]
    paint[stroke] = 2
    document = blank(run).model_copy(update={"paint": paint, "states": ("free", "guided", "free", "free", "free")})
    first, *later = engine.answer(document, closer=True)
    assert first.nearest
    assert first.preview
    kept = (first.labels.reshape(len(first.labels), -1)[:, stroke] == 2).mean(1)
    assert kept[0] == first.strokes_kept == kept.max()
    assert (np.diff(kept) <= 0).all()
    chosen = run.sample(256, seed=0, mode="unconditional", crisp=True).labels
    np.testing.assert_array_equal(first.labels[0], chosen[first.numbers[0]])
    assert later[-1].strokes_kept >= first.strokes_kept
    assert not later[-1].preview


def test_a_model_without_gradients_answers_all_the_same(run: epure.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epurecli.studio.engine.refine", lambda *asked: iter(()))
    paint = blank(run).paint.copy()
    paint[:50] = 1
    document = blank(run).model_copy(update={"paint": paint, "states": ("guided", "free", "free", "free", "free")})
    first, final = Engine(run).answer(document, closer=True)
    assert first.preview
    assert not final.preview
    np.testing.assert_array_equal(first.labels, final.labels)


def test_more_like_this_begins_with_itself(engine: Engine, run: epure.Run) -> None:
    labels = run.sample(30, mode="unconditional", seed=0, crisp=True).labels
    picture = last(engine, blank(run).model_copy(update={"like": labels[29].ravel()}))
    np.testing.assert_array_equal(picture.labels[0], labels[29])
    assert picture.numbers[0] == 29


def test_something_newer_stops_what_was_begun(engine: Engine, run: epure.Run) -> None:
    with pytest.raises(Superseded):
        list(engine.answer(blank(run), lambda: True))


def test_a_slow_model_shows_the_design_that_is_looked_at_first(run: epure.Run) -> None:
    engine = Engine(run)
    engine._block_ms = 1e3
    preview, final = engine.answer(blank(run), first=5)
    assert preview.preview
    assert preview.numbers.tolist() == [5]
    assert (preview.labels[0] == final.labels[5]).mean() > 0.999  # alone it is computed in another block: rounding


def test_open_conditions_of_completions_differ_from_draw_to_draw(run: epure.Run) -> None:
    from epurecli.studio.asking import completing_request, drawing_of

    design = np.ones(blank(run).paint.size, np.uint8)
    drawing = drawing_of(painted(blank(run), design, 1), run.components, tuple(run.config.model.image_size))
    request = completing_request(run.trained, drawing, {"width_px": 57.0}, 0, 8)
    assert (request.conditions[:, 0] == 57).all()
    assert len(set(request.conditions[:, 1])) == 8


def test_two_runs_answer_the_same_document(
    serve: Callable[..., Server], visit: Callable[[Server], Page], run: epure.Run
) -> None:
    other = replace(run)
    page = visit(serve(run, other))
    first, second = page.draw(blank(run)), page.draw(blank(run), run=1)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert len(page.hello["runs"]) == 2


def test_counting() -> None:
    labels = np.array([[[0, 1], [2, 2]], [[1, 1], [0, 2]]], np.uint8)
    np.testing.assert_array_equal(counted(labels, 2), [[[1, 2], [0, 0]], [[0, 0], [1, 2]]])
    assert UNSAID == 255


def test_while_a_hand_moves_pictures_come_and_words_wait(
    page_of: Page, run: epure.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said of a picture takes longer than the picture: said of each, it would hold the next one back."""
    from epurecli.studio import connection

    page_of.draw(blank(run))
    monkeypatch.setattr(connection, "COMMENT_S", 1e9)
    monkeypatch.setattr(connection, "PAUSE_S", 3.0)
    page_of.next("facts")
    asked = [page_of.send(kind="draw", document=blank(run).model_copy(update={"seed": 1}).model_dump(mode="json"))]
    said: list[int] = []
    while True:
        data = page_of.socket.recv(20)
        if isinstance(data, str):
            message = json.loads(data)
            if message["kind"] == "facts":
                said.append(message["seq"])
                break
        elif len(asked) < 8:
            document = blank(run).model_copy(update={"seed": len(asked)})
            asked.append(page_of.send(kind="draw", document=document.model_dump(mode="json")))
    assert said == asked[-1:]


def test_small_messages_do_not_hold_pictures_back(server: Server) -> None:
    """asyncio turns Nagle's algorithm off for sockets whose protocol is named, and for no others."""
    import socket

    assert server._socket.proto == socket.IPPROTO_TCP
