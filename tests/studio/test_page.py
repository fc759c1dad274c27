"""The page in a real browser, used as an engineer uses it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from studio.client import blank

import epurecli
from epurecli.api.reading import read
from epurecli.api.run import Run
from epurecli.studio.messages import Document
from epurecli.studio.server import Server

COLUMNS = ("width_px", "height_px")
WATCH = (
    "addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.violatedDirective + ' ' + e.blockedURI))"
)


@pytest.fixture
def studio(serve: Callable[..., Server], new_page: Callable[..., Page], heard: Any) -> Iterator[Callable[..., Page]]:
    """A page of a studio of its own; no page asks another machine for anything, nor breaks its own rules."""

    def open_page(server: Server | None = None, **settings: Any) -> Page:
        server = server or serve()
        page = new_page(**settings)
        page.add_init_script(WATCH)
        page.goto(server.address)
        expect(page.locator(".cell")).to_have_count(24)
        return page

    yield open_page
    assert all(url.startswith(("http://127.0.0.1:", "blob:", "data:")) for url in heard.requests)


def at(page: Page, x: float, y: float) -> tuple[float, float]:
    """The place of a pixel of the design on the screen."""
    box, place = (
        page.locator("#canvas").bounding_box(),
        page.evaluate("({...document.getElementById('canvas').dataset})"),
    )
    assert box is not None
    scale = float(place["scale"])
    return box["x"] + float(place["x"]) + (x + 0.5) * scale, box["y"] + float(place["y"]) + (y + 0.5) * scale


def stroke(page: Page, *points: tuple[float, float]) -> None:
    page.mouse.move(*at(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*at(page, *point), steps=4)
    page.mouse.up()


def slide(page: Page, column: str, value: float) -> None:
    script = (
        "(e, v) => { e.value = v; for (const k of ['input', 'change']) e.dispatchEvent(new Event(k, {bubbles: true})) }"
    )
    page.get_by_role("group", name=column, exact=True).first.locator("input[type=range].value").evaluate(script, value)


def state(page: Page, part: int, wanted: str) -> Any:
    return page.locator(f"[data-part='{part}'][data-state='{wanted}']")


def saved(server: Server, page: Page) -> Document:
    """The document as the server has it, once the page has nothing newer on its way."""
    expect(page.locator("#saved")).to_have_text(re.compile("saved|enregistré"))
    page.wait_for_timeout(150)
    expect(page.locator("#saved")).to_have_text(re.compile("saved|enregistré"))
    return server.room.session.state.document


def test_a_walk(serve: Callable[..., Server], studio: Callable[..., Page], run: Run, tmp_path: Path) -> None:
    """Slide, draw a part, give it, complete, undo, keep, compare, export, come back."""
    server = serve()
    page = studio(server)
    slide(page, "width_px", 57)
    expect(page.locator("#speed")).to_have_text(re.compile(r"24 designs in \d+"))
    page.keyboard.press("2")
    stroke(page, (6, 12), (28, 8))
    expect(state(page, 2, "guided")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("l")
    expect(state(page, 2, "given")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".cell")).to_have_count(16)
    page.mouse.move(*at(page, 3, 40))
    expect(page.locator("#readout")).to_contain_text("of 16 draws")
    document = saved(server, page)
    assert document.states == ("free", "given", "free", "free", "free")
    drawn = np.isin(document.paint, 2).reshape(64, 32)
    assert drawn[12, 6]
    assert drawn[8, 28]

    page.keyboard.press("k")
    page.locator(".cell").nth(4).click()
    page.keyboard.press("k")
    page.keyboard.press("Escape")
    assert page.locator(".keptrow").count() == 2
    for box in page.locator(".keptrow input[type=checkbox]").all():
        box.check()
    page.locator("#compare").click()
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text("Difference A–B")
    expect(dialog.locator("td", has_text="57").first).to_be_visible()
    page.keyboard.press("Escape")

    page.locator("#export").click()
    for box in page.locator("dialog input[type=checkbox]:not(:disabled)").all():
        box.uncheck()
    page.get_by_role("button", name="Export 2 kept designs").click()
    expect(dialog).to_contain_text("Written to")
    exported = read(next((tmp_path / "studio").glob("vae-export-*")) / "designs")
    given = np.where(exported.labels == 2, 1, 0)
    np.testing.assert_array_equal(given, np.broadcast_to(drawn, given.shape))
    page.keyboard.press("Escape")

    for _ in range(4):
        page.keyboard.press("Control+z")
    expect(page.locator("#undo")).to_be_disabled()
    assert saved(server, page).model_dump_json() == blank(run).model_dump_json()
    page.keyboard.press("Control+y")
    page.keyboard.press("Control+y")
    expect(state(page, 2, "guided")).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(state(page, 2, "guided")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".keptrow")).to_have_count(2)


@pytest.mark.slow
def test_the_same_by_keyboard_alone(serve: Callable[..., Server], studio: Callable[..., Page]) -> None:
    server = serve()
    page = studio(server)

    def tab_to(selector: str) -> None:
        for _ in range(200):
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"no way to {selector}")

    tab_to("[aria-label='width_px'] input[type=range].value")
    page.keyboard.press("ArrowRight")
    assert saved(server, page).brief[0].mode == "target"
    tab_to("#canvas")
    page.keyboard.press("2")
    for key in ("ArrowUp", "Shift+ArrowUp", "Shift+ArrowUp", "Shift+ArrowUp", "Shift+ArrowUp"):
        page.keyboard.press(key)
    page.keyboard.down(" ")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.up(" ")
    expect(state(page, 2, "guided")).to_have_attribute("aria-pressed", "true")
    painted = np.argwhere(saved(server, page).paint.reshape(64, 32) == 2)
    assert (painted.min(0).tolist(), painted.max(0).tolist()) == ([11, 0], [13, 17])
    page.keyboard.press("l")
    expect(page.locator(".cell")).to_have_count(16)
    tab_to(".cell")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("k")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page.locator("#novariants")).to_be_visible()
    assert set(saved(server, page).states) <= {"given", "none"}
    page.keyboard.press("Control+z")
    page.keyboard.press("Escape")
    for n in (1, 2):
        tab_to(f"[aria-label='compare {n}']")
        page.keyboard.press(" ")
    page.keyboard.press("c")
    expect(page.locator("dialog")).to_contain_text("Difference A–B")
    page.keyboard.press("Escape")
    tab_to("#export")
    page.keyboard.press("Enter")
    tab_to("dialog button.wide")
    page.keyboard.press("Enter")
    expect(page.locator("#exported")).to_contain_text("Written to")


@pytest.mark.slow
def test_two_hundred_events_cost_few_answers(studio: Callable[..., Page], run: Run) -> None:
    page = studio()
    frames = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda data: frames.append(data)))
    page.reload()
    expect(page.locator(".cell")).to_have_count(24)
    frames.clear()
    page.evaluate("""() => {
        const slider = document.querySelector("[aria-label='width_px'] input[type=range].value");
        for (let i = 0; i < 200; i++) {
            slider.value = 50 + i % 10;
            slider.dispatchEvent(new Event('input', {bubbles: true}));
        }
    }""")
    expect(page.locator("[aria-label='width_px'] input[type=number].value")).to_have_value("59")
    page.wait_for_timeout(800)
    pictures = [data for data in frames if isinstance(data, bytes) and not data[13] & 1]  # but previews
    assert 1 <= len(pictures) <= 3
    expect(page.locator("#undo")).to_be_enabled()
    page.keyboard.press("Control+z")  # the drag is one step
    expect(page.locator("#undo")).to_be_disabled()


@pytest.mark.slow
def test_a_server_that_dies_and_comes_back(
    serve: Callable[..., Server], studio: Callable[..., Page], heard: Any
) -> None:
    server = serve()
    page = studio(server)
    server.close()
    expect(page.locator("#banner")).to_contain_text("does not answer")
    page.keyboard.press("3")
    stroke(page, (8, 30), (12, 34))
    page.keyboard.press("k")
    expect(state(page, 3, "guided")).to_have_attribute("aria-pressed", "true")
    again = serve(port=server.port)
    other = page.context.new_page()
    other.goto(again.address)
    expect(page.locator("#banner")).to_be_hidden(timeout=15_000)
    assert "guided" in saved(again, page).states
    expect(other.locator(".keptrow")).to_have_count(1)
    heard.faults[:] = [fault for fault in heard.faults if "WebSocket" not in fault]  # how Chromium says it


def test_names_from_outside_are_text(serve: Callable[..., Server], studio: Callable[..., Page], run: Run) -> None:
    from dataclasses import replace

    evil = "<img src=x onerror=alert(1)>"
    data = run.config.data.model_copy(update={"component_dirs": (evil, *run.components[1:])})
    hostile = Run(replace(run.trained, config=run.config.model_copy(update={"data": data})))
    page = studio(serve(hostile))
    expect(page.locator("#parts")).to_contain_text(evil)
    page.keyboard.press("k")
    page.locator(".about input").first.fill(evil)
    page.locator(".about input").first.press("Enter")
    page.reload()
    expect(page.locator(".about input").first).to_have_value(evil)
    assert page.locator("main img").count() == 0


@pytest.mark.slow
def test_own_images_are_read_by_the_page(studio: Callable[..., Page], run: Run, tmp_path: Path) -> None:
    from PIL import Image

    page = studio()
    plane = np.zeros((64, 32), np.uint8)
    plane[10:20, 5:30] = 255
    for name, image in (("mine_bt.png", plane), ("small_bt.png", plane[:10]), ("mine_what.png", plane)):
        Image.fromarray(image).save(tmp_path / name)
    page.locator("#files").set_input_files(tmp_path / "small_bt.png")
    expect(page.locator("#hint")).to_contain_text("32 x 10 pixels")
    page.locator("#files").set_input_files(tmp_path / "mine_what.png")
    expect(page.locator("#hint")).to_contain_text("names no part")
    page.locator("#files").set_input_files(tmp_path / "mine_bt.png")
    expect(page.locator(".cell")).to_have_count(16)
    expect(page.locator("#parts")).to_contain_text("250 px")


@pytest.mark.slow
def test_given_and_empty_is_asked_about(studio: Callable[..., Page]) -> None:
    page = studio()
    page.keyboard.press("5")
    stroke(page, (16, 50), (17, 50))
    page.keyboard.press("l")
    expect(page.locator(".cell")).to_have_count(16)
    page.keyboard.press("e")
    for _ in range(4):
        page.keyboard.press("]")
    stroke(page, (16, 50), (17, 50))
    expect(page.locator("#parts")).to_contain_text("tpc is given but empty")
    page.get_by_role("button", name="It has none").click()
    expect(page.locator("#parts")).to_contain_text("none (on purpose)")


@pytest.mark.slow
def test_given_parts_are_protected_from_the_brush(serve: Callable[..., Server], studio: Callable[..., Page]) -> None:
    server = serve()
    page = studio(server)
    page.keyboard.press("2")
    stroke(page, (10, 10), (20, 10))
    page.keyboard.press("l")
    before = saved(server, page).paint == 2
    page.keyboard.press("1")
    stroke(page, (15, 4), (15, 16))
    after = saved(server, page).paint
    assert (after[before] == 2).all()
    assert (after == 1).any()
    page.get_by_label("paint over given").check()
    stroke(page, (15, 4), (15, 16))
    expect(page.locator("[data-part='2'] >> nth=0")).to_be_visible()
    assert not (saved(server, page).paint[before] == 2).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "height", "scheme"), [(390, 844, "dark"), (390, 844, "light"), (3840, 2160, "light"), (1024, 700, "dark")]
)
def test_windows_of_all_sizes_hold_everything(
    studio: Callable[..., Page], width: int, height: int, scheme: str
) -> None:
    page = studio(viewport={"width": width, "height": height}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tabs = page.locator("#tabs button")
    if tabs.first.is_visible():
        for name in ("brief", "variants", "kept", "section"):
            page.locator(f"#tabs [data-to={name}]").click()
            expect(page.locator(f"#{name}")).to_be_visible()
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) >= min(width, height) * 0.4
    small = page.evaluate("""() => [...document.querySelectorAll("button, select, input:not([type=file])")]
        .filter(e => e.offsetParent).map(e => [e.id || e.textContent || e.type, e.getBoundingClientRect()])
        .filter(([, r]) => r.width && (r.width < 16 || r.height < 16)).map(([name]) => name)""")
    assert not small


@pytest.mark.slow
def test_french_is_whole(studio: Callable[..., Page]) -> None:
    page = studio(locale="fr-FR")
    expect(page.locator("#keep")).to_have_text("Garder")
    assert page.evaluate("document.documentElement.lang") == "fr"
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_contain_text("pinceau plus petit")
    page.keyboard.press("Escape")
    page.locator("#language").click()
    expect(page.locator("#keep")).to_have_text("Keep")
    page.reload()
    expect(page.locator("#keep")).to_have_text("Keep")


@pytest.mark.slow
def test_single_letters_can_be_switched_off(studio: Callable[..., Page]) -> None:
    page = studio()
    page.keyboard.press("?")
    page.get_by_label("single-letter keys").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    expect(page.locator(".keptrow")).to_have_count(0)
    page.get_by_role("button", name="Keep", exact=True).click()
    expect(page.locator(".keptrow")).to_have_count(1)


@pytest.mark.slow
def test_fifty_steps_back_and_forth(serve: Callable[..., Server], studio: Callable[..., Page]) -> None:
    server = serve()
    page = studio(server)
    page.keyboard.press("1")
    for n in range(50):
        stroke(page, (2 + n % 25, 5 + n), (4 + n % 25, 5 + n))
    drawn = saved(server, page).model_dump_json()
    for _ in range(50):
        page.keyboard.press("Control+z")
    expect(page.locator("#undo")).to_be_disabled()
    assert set(saved(server, page).paint) == {255}
    for _ in range(50):
        page.keyboard.press("Control+y")
    expect(page.locator("#redo")).to_be_disabled()
    page.wait_for_timeout(100)
    assert saved(server, page).model_dump_json() == drawn


# --- nothing there, and a way on --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """A run of a second, with other settings."""

    def trained(*settings: str) -> Run:
        out = tmp_path_factory.mktemp("small") / "outputs" / "vae"
        return epurecli.train("vae_toy_test", settings=("data.toy.count=160", "training.epochs=1", *settings), out=out)

    return trained


@pytest.mark.slow
def test_a_run_without_conditions(serve: Any, studio: Any, small: Callable[..., Run]) -> None:
    page = studio(serve(small("data.condition_columns=[]")))
    expect(page.locator("#briefnote")).to_contain_text("without conditions")
    page.keyboard.press("2")
    page.keyboard.press("l")
    expect(page.locator(".cell")).to_have_count(16)


@pytest.mark.slow
def test_a_run_of_one_part(serve: Any, studio: Any, small: Callable[..., Run]) -> None:
    page = studio(serve(small("data.component_dirs=[group_nc]")))
    expect(page.locator("#parts")).to_contain_text("one part only")
    page.keyboard.press("l")
    expect(state(page, 1, "free")).to_have_attribute("aria-pressed", "true")
    stroke(page, (10, 20), (16, 20))
    expect(page.locator("#which")).to_contain_text("nearest of 256")


@pytest.mark.slow
def test_a_run_whose_data_is_gone_draws_all_the_same(serve: Any, studio: Any, run: Run) -> None:
    from dataclasses import replace

    data = run.config.data.model_copy(update={"toy": None, "root_dir": Path("/nowhere")})
    page = studio(serve(Run(replace(run.trained, config=run.config.model_copy(update={"data": data})))))
    expect(page.locator("#briefnote")).to_contain_text("No histograms, no distances")
    slide(page, "width_px", 57)
    expect(page.locator("#validity")).not_to_be_empty()


@pytest.mark.slow
def test_without_a_predictor_one_can_be_fitted_and_the_search_then_answers(
    serve: Any, studio: Any, small: Callable[..., Run]
) -> None:
    page = studio(serve(small("training.epochs=3")))
    expect(page.locator("#search")).to_contain_text("No predictor yet")
    page.get_by_role("button", name=re.compile("Fit it")).click()
    expect(page.locator("#search")).not_to_contain_text("No predictor yet", timeout=60_000)
    expect(page.locator("#search")).to_contain_text("predicted")
    page.get_by_role("button", name="Design for me").click()
    expect(page.locator("#search")).to_contain_text("the brief is empty")
    slide(page, "width_px", 58)
    page.locator("#search button.wide").click()
    expect(page.locator("#which, #search .warn").first).to_contain_text(
        re.compile("found by the search|brief|reach|none|no design", re.IGNORECASE), timeout=60_000
    )


@pytest.mark.slow
def test_tools_are_exact(studio: Callable[..., Page]) -> None:
    """The modules that know no page, in the browser that runs them."""
    page = studio()
    found = page.evaluate("""async () => {
        const b = await import("/web/brush.mjs"), {History} = await import("/web/history.mjs");
        const doc = {paint: new Uint8Array(12).fill(255), states: ["free", "given"], brief: []};
        doc.paint[5] = 2;
        const drawn = b.painted(doc, [4, 5, 6], 1), over = b.painted(doc, [4, 5, 6], 1, true);
        const h = new History(3), steps = [];
        for (const step of [1, 2, 3, 4, 5]) h.note(step);
        for (let now = 6; h.past.length;) steps.push(now = h.undo(now));
        const drag = new History();
        drag.note("a", "s"); drag.note("b", "s"); drag.seal(); drag.note("c", "s");
        return {
            sizes: b.SIZES.map(size => b.footprint(size).length), line: b.line(0, 0, 4, 2),
            clipped: b.covered([[0, 0]], 3, 4, 3).sort((x, y) => x - y),
            region: b.region(Uint8Array.from([1, 1, 2, 1, 2, 2, 1, 1, 2]), 0, 3).sort(),
            drawn: [...drawn.paint].slice(4, 7), states: drawn.states, over: [...over.paint].slice(4, 7),
            back: b.erased(drawn, [4, 6], 1).states, same: doc.paint[4],
            empty: b.emptyGiven(b.erased(doc, [5], 2)), whole: b.accepted(doc, new Uint8Array(12).fill(1)).states,
            steps, drag: drag.past,
        };
    }""")
    assert found == {
        "sizes": [1, 4, 9, 21, 52],
        "line": [[0, 0], [1, 1], [2, 1], [3, 2], [4, 2]],
        "clipped": [0, 1, 4, 5],
        "region": [0, 1, 3, 6, 7],
        "drawn": [1, 2, 1],
        "states": ["guided", "given"],
        "over": [1, 1, 1],
        "back": ["free", "given"],
        "same": 255,
        "empty": [2],
        "whole": ["given", "none"],
        "steps": [5, 4, 3],
        "drag": ["a", "c"],
    }
