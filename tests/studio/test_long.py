"""What takes minutes: whether the spread that is shown is told for what it is, and whether strokes leak."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect
from studio.client import Page, blank, painted

import epurecli as epure
from epurecli.evaluate.completions import spread_ratio
from epurecli.pictures.crisp import planes
from epurecli.studio.server import Server


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> epure.Run:
    """A model that has learnt something: 2,000 toy tyres, a minute and a half."""
    folder = tmp_path_factory.mktemp("trained")
    settings = ("data.toy.count=2000", "training.budget_s=90")
    return epure.train("vae_toy", settings=settings, out=folder / "outputs" / "vae")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("parts", [(1,), (2, 4), (5,), (1, 2, 3), (1, 3, 4, 5)])
def test_what_is_shown_as_spread_is_told_beside_the_truth(
    serve: Callable[..., Server], visit: Callable[..., Page], trained: epure.Run, parts: tuple[int, ...]
) -> None:
    """If truth and draws came from one law, draws would be as far from each other as from the truth. Through the
    messages that a page sends, on designs other than those that the studio itself measures it on."""
    page = visit(serve(trained))
    page.next("run")  # the training designs are read
    truth = trained.test.labels[100:180]
    drawn = []
    for design in truth:
        picture = page.draw(painted(blank(trained), design, *parts))
        drawn.append(planes(picture.labels[1:], 5))
    told = page.next("spread")
    hidden = [part for part in range(5) if part + 1 not in parts]
    ratio = float(np.mean(spread_ratio(np.stack(drawn), planes(truth, 5))[hidden]))
    assert told["designs"] == 60
    assert told["ratio"] == pytest.approx(ratio, rel=0.15)
    assert 0.85 <= ratio <= 1.15


HOUR, PART = 7200, 1800  # strokes: two a second, and as many as are tried


def resident() -> int:
    """Bytes of this process, in which the server runs."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_strokes_leak_nothing(serve: Callable[..., Server], new_page: Callable[..., Tab]) -> None:
    """Two strokes a second, a quarter of an hour of them in a minute: history is full after 500, then nothing grows."""
    server = serve()
    page = new_page()
    page.goto(server.address)
    expect(page.locator(".cell")).to_have_count(24)
    session = page.context.new_cdp_session(page)

    def strokes(count: int) -> None:
        page.evaluate(
            """async count => {
                const canvas = document.getElementById("canvas"), slider = document.querySelector("input.value");
                const at = (kind, x, y) => canvas.dispatchEvent(new PointerEvent(kind,
                    {clientX: x, clientY: y, pointerId: 1, bubbles: true, isPrimary: true}));
                for (let i = 0; i < count; i++) {
                    const box = canvas.getBoundingClientRect(), {x, y, scale} = canvas.dataset;
                    const along = size => Math.random() * size * scale;
                    const place = () => [box.left + +x + along(32), box.top + +y + along(64)];
                    window.dispatchEvent(new KeyboardEvent("keydown", {key: String(i % 6)}));
                    at("pointerdown", ...place()); at("pointermove", ...place()); at("pointerup", ...place());
                    if (i % 10 === 0) {
                        slider.value = 50 + i % 9;
                        slider.dispatchEvent(new Event("input", {bubbles: true}));
                        slider.dispatchEvent(new Event("change", {bubbles: true}));
                    }
                    if (i % 50 === 49) document.querySelector("[data-part='1'][data-state='free']").click();
                    await new Promise(done => setTimeout(done, 10));
                }
            }""",
            count,
        )

    def heap() -> float:
        session.send("HeapProfiler.collectGarbage")
        return float(session.send("Runtime.getHeapUsage")["usedSize"])

    page.add_init_script("Object.defineProperty(Element.prototype, 'setPointerCapture', {value: () => {}})")
    page.reload()
    expect(page.locator(".cell")).to_have_count(24)
    strokes(700)  # fills the history, the caches and the allocator's pools
    gc.collect()
    tab, process = heap(), resident()
    strokes(PART)
    gc.collect()
    assert heap() - tab < 5e6 * PART / HOUR
    assert resident() - process < 5e6
