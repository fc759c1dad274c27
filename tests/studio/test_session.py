"""What is remembered: every change, through a killed server; and what leaves the studio as files."""

from __future__ import annotations

import base64
import json
import shlex
import time
import zipfile
from collections.abc import Callable
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from studio.client import Page, blank, cookie_of, painted

from epurecli.api.reading import read
from epurecli.api.run import Run
from epurecli.errors import UsageError
from epurecli.studio.messages import Document, Kept, Wish, frame, unframe
from epurecli.studio.picture import Picture
from epurecli.studio.server import Server
from epurecli.studio.session import Session

Serve = Callable[..., Server]
Visit = Callable[..., Page]


def kept(document: Document, labels: np.ndarray, id: str = "a", **more: Any) -> dict[str, Any]:
    whole = {"id": id, "name": "first", "run": "", "labels": labels.ravel(), "document": document, "how": "sample"}
    return Kept.model_construct(**(whole | more)).model_dump(mode="json")


def stored(server: Server) -> dict[str, Any]:
    """The file, once it says all that was sent."""
    session = server.room.session
    for _ in range(200):
        if session.path.exists() and (found := json.loads(session.path.read_text())) == session.state.model_dump(
            mode="json"
        ):
            return found
        time.sleep(0.02)
    raise AssertionError("the session was not saved")


def test_a_change_is_on_the_disk_and_in_the_next_page(serve: Serve, visit: Visit, run: Run) -> None:
    server = serve()
    page = visit(server)
    assert not server.room.session.path.exists()
    document = blank(run).model_copy(update={"seed": 42, "brief": (Wish(mode="target", value=55.5), Wish())})
    labels = page.draw(document).labels[3]
    page.send(kind="keep", design=kept(document, labels, number=3))
    page.send(kind="settings", settings={**page.hello["settings"], "brush": 8, "language": "fr"})
    page.draw(document)
    found = stored(server)
    assert found["document"]["seed"] == 42
    assert found["document"]["brief"][0]["value"] == 55.5
    assert found["kept"][0]["number"] == 3
    again = visit(server).hello
    assert again["document"] == found["document"]
    assert again["settings"]["brush"] == 8
    assert again["kept"] == found["kept"]


def test_a_restarted_studio_goes_on(serve: Serve, visit: Visit, run: Run) -> None:
    server = serve()
    page = visit(server)
    page.draw(blank(run).model_copy(update={"seed": 9}))
    page.send(kind="keep", design=kept(blank(run), page.draw(blank(run).model_copy(update={"seed": 9})).labels[0]))
    time.sleep(0.1)
    server.close()
    hello = visit(serve()).hello
    assert hello["document"]["seed"] == 9
    assert [one["name"] for one in hello["kept"]] == ["first"]


def test_letting_go_and_renaming(serve: Serve, visit: Visit, run: Run) -> None:
    page = visit(server := serve())
    labels = page.draw(blank(run)).labels
    page.send(kind="keep", design=kept(blank(run), labels[0], "a"))
    page.send(kind="keep", design=kept(blank(run), labels[1], "b"))
    page.send(kind="keep", design=kept(blank(run), labels[0], "a", name="<script>alert(1)</script>"))
    page.send(kind="drop", id="b")
    page.draw(blank(run))
    assert [(one["id"], one["name"]) for one in stored(server)["kept"]] == [("a", "<script>alert(1)</script>")]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"studio": 2}', '{"studio": 1, "surprise": 1}'])
def test_a_damaged_session_is_refused_and_left_alone(serve: Serve, tmp_path: Path, text: str) -> None:
    folder = tmp_path / "studio"
    folder.mkdir()
    (folder / "vae.json").write_text(text)
    with pytest.raises(UsageError, match="no session of this version") as refused:
        serve()
    assert "--session" in str(refused.value.hint)
    assert (folder / "vae.json").read_text() == text


def test_a_session_about_other_designs_is_refused(tmp_path: Path, run: Run) -> None:
    one = Session(tmp_path, "x", ("a", "b"), (8, 4), ("w",))
    one.update(document=one.state.document)
    one.close()
    with pytest.raises(UsageError, match="about other designs"):
        Session(tmp_path, "x", run.components, (64, 32), ("w",))


def test_a_brief_follows_its_columns_by_name(tmp_path: Path) -> None:
    one = Session(tmp_path, "x", ("a",), (8, 4), ("w", "h"))
    wishes = (Wish(mode="target", value=1), Wish(mode="target", value=2))
    one.update(document=one.state.document.model_copy(update={"brief": wishes}))
    one.close()
    other = Session(tmp_path, "x", ("a",), (8, 4), ("h", "new", "w"))
    assert [wish.value for wish in other.state.document.brief] == [2, 0, 1]
    other.close()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_frame_reads_back(data: st.DataObject) -> None:
    count, height, width, parts = (data.draw(st.integers(1, most)) for most in (5, 6, 7, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    draws = data.draw(st.integers(0, 64))
    picture = Picture(
        rng.integers(0, 255, (count, height, width)).astype(np.uint8),
        rng.integers(0, 2**32, count).astype(np.uint32),
        rng.integers(0, 64, (parts, height, width)).astype(np.uint16) if draws else None,
        draws,
        data.draw(st.booleans()),
        data.draw(st.booleans()),
        0.5,
        12.0,
    )
    seq, read = unframe(frame(77, picture))
    assert seq == 77
    for name in ("labels", "numbers", "counts"):
        np.testing.assert_array_equal(getattr(read, name), getattr(picture, name))
    for name in ("draws", "preview", "nearest", "strokes_kept", "milliseconds"):
        assert getattr(read, name) == getattr(picture, name)


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_export_is_what_sample_writes_and_its_commands_make_it_again(
    serve: Serve, visit: Visit, run: Run, epure: Callable[..., Any]
) -> None:
    server = serve()
    page = visit(server)
    free = blank(run).model_copy(update={"seed": 5, "brief": (Wish(mode="target", value=57), Wish())})
    ranged = free.model_copy(update={"brief": (Wish(mode="range", low=52, high=60), Wish())})
    sampled, varied = page.draw(free), page.draw(ranged)
    partial = painted(free, sampled.labels[0], 2)
    drawn = page.draw(partial)
    wanted = {
        "free": (free, sampled.labels[4], "sample", 4),
        "../ranged": (ranged, varied.labels[6], "sample", 6),
        "partial": (partial, drawn.labels[1 + 9], "draw", 9),
    }
    path = str(run.path)
    for n, (name, (document, labels, how, number)) in enumerate(wanted.items()):
        page.send(kind="keep", design=kept(document, labels, str(n), name=name, how=how, number=number, run=path))
    page.send(kind="export", ids=["0", "1", "2"], formats=["png"])
    told = page.next("exported")
    folder = Path(told["folder"])
    assert folder.parent == server.room.folder.resolve() or folder.parent == server.room.folder
    designs = read(folder / "designs")
    assert set(designs.names) == {"free", "ranged", "partial"}
    for (_, labels, *_), name in zip(wanted.values(), ("free", "ranged", "partial"), strict=True):
        np.testing.assert_array_equal(designs[designs.names.index(name)].labels[0], labels)
    assert (folder / "designs" / "manifest.csv").is_file()
    assert len(told["commands"]) == 3
    numbers = {"free": "sample_00004", "ranged": "sample_00006", "partial": "draw_00009"}
    for place, (name, line) in enumerate(zip(numbers, told["commands"], strict=True)):
        words = shlex.split(line, comments=True)
        assert words[0] == "epure"
        result = epure(*words[1:], cwd=folder)
        assert result.code == 0, result.err
        again = read(folder / f"again-{place}")
        made = again[again.names.index(numbers[name])]
        np.testing.assert_array_equal(made.labels[0], wanted[["free", "../ranged", "partial"][place]][1])
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", f"/exports/{told['name']}.zip", headers={"Cookie": cookie_of(server)})
    archive = zipfile.ZipFile(BytesIO(connection.getresponse().read()))
    assert f"{folder.name}/kept.csv" in archive.namelist()


@pytest.mark.slow
def test_outlines_and_an_explorer_are_exported_too(serve: Serve, visit: Visit, run: Run) -> None:
    import ezdxf

    page = visit(serve())
    for n, labels in enumerate(page.draw(blank(run)).labels[:2]):
        page.send(kind="keep", design=kept(blank(run), labels, str(n), name=f"tyre {n}"))
    page.send(kind="export", ids=["0", "1"], formats=["png", "svg", "dxf", "explorer"], scale_mm=3.5)
    told = page.next("exported")
    folder = Path(told["folder"])
    assert told["left_out"] == []
    for n in range(2):
        assert "<svg" in (folder / "svg" / f"tyre_{n}.svg").read_text()
        assert not ezdxf.readfile(folder / "dxf" / f"tyre_{n}.dxf").audit().errors
    assert "<html" in (folder / "explorer.html").read_text()
    page.send(kind="export", ids=["0"], formats=["dxf"])
    told = page.next("exported")
    assert "size of a pixel" in told["left_out"][0]
    assert (Path(told["folder"]) / "designs" / "manifest.csv").is_file()


def test_a_second_export_leaves_the_first_alone(serve: Serve, visit: Visit, run: Run) -> None:
    page = visit(serve())
    page.send(kind="keep", design=kept(blank(run), page.draw(blank(run)).labels[0]))
    folders = []
    for _ in range(2):
        page.send(kind="export", ids=["a"])
        folders.append(page.next("exported")["folder"])
    assert len(set(folders)) == 2


def test_facts_of_what_is_kept_are_told_however_much_is_drawn_meanwhile(page_of: Page, run: Run) -> None:
    labels = page_of.draw(blank(run)).labels[:6]
    asked = {page_of.send(kind="measure", labels=base64_of(design)) for design in labels}
    for seed in range(20):
        page_of.send(kind="draw", document=blank(run).model_copy(update={"seed": seed}).model_dump(mode="json"))
    told = set()
    while not asked <= told:
        told.add(page_of.next("facts")["seq"])


def base64_of(design: np.ndarray) -> str:
    return base64.b64encode(design.tobytes()).decode()


def test_what_is_not_kept_is_not_exported(page_of: Page) -> None:
    page_of.send(kind="export", ids=["nobody"])
    assert "no design 'nobody'" in page_of.next_error()["message"]
