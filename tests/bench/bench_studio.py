"""How long the studio takes from a hand's movement to the picture: in a real browser, p5, p50 and p95 of many events.
The fastest are those that other work on the machine left alone.

    python tests/bench/bench_studio.py RUN [RUN...]

Slider -> 24 designs (and the one that is looked at), stroke on a given part -> completion of 16 draws, command -> page.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

EVENTS = 60
# The answer is noted on the page's body in the moment when it is there; the next frame shows it.
MEASURE = """([what, value]) => new Promise(done => {
    const began = performance.now(), seen = [];
    const watch = new MutationObserver(() => requestAnimationFrame(() => {
        seen.push(performance.now() - began);
        if (document.body.dataset.preview === "1") return;
        watch.disconnect();
        done([seen[0], seen[seen.length - 1]]);
    }));
    watch.observe(document.body, {attributes: true, attributeFilter: ["data-answers"]});
    if (what === "slider") {
        const slider = document.querySelector("#rows input[type=range].value");
        slider.value = value;
        slider.dispatchEvent(new Event("input", {bubbles: true}));
    } else {
        const canvas = document.getElementById("canvas"), box = canvas.getBoundingClientRect(), place = canvas.dataset;
        const [x, y] = value.map((at, k) => (k ? box.top + +place.y : box.left + +place.x) + (at + 0.5) * +place.scale);
        for (const kind of ["pointerdown", "pointerup"]) canvas.dispatchEvent(
            new PointerEvent(kind, {clientX: x, clientY: y, pointerId: 1, bubbles: true, isPrimary: true}));
    }
})"""


def measured(page: Any, what: str, values: list[Any]) -> str:
    first, last = zip(*(page.evaluate(MEASURE, [what, value]) for value in values), strict=True)
    shown = [" /".join(f"{_p(times, percent):6.1f}" for percent in (5, 50, 95)) + " ms" for times in (first, last)]
    return f"first picture {shown[0]}   all {shown[1]}"


def _p(times: tuple[float, ...], percent: int) -> float:
    return statistics.quantiles(times, n=100, method="inclusive")[percent - 1]


def bench(run: str) -> None:
    from playwright.sync_api import sync_playwright

    random.seed(0)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        found = next(path for path in map(shutil.which, ("chromium", "google-chrome")) if path)
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.add_init_script("Object.defineProperty(Element.prototype, 'setPointerCapture', {value: () => {}})")
        began = time.perf_counter()
        command = [sys.executable, "-m", "epurecli", "studio", run, "--no-browser", "--out", folder]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert server.stdout is not None
        try:
            address = re.search(r"http://\S+", server.stdout.readline())
            assert address is not None
            page.goto(address[0])
            page.locator(".cell").nth(23).wait_for()
            print(f"{run}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
            print(f"  command -> usable page          {time.perf_counter() - began:.2f} s")
            slider = page.locator("#rows input[type=range].value").first
            low, high = (float(slider.get_attribute(edge) or 0) for edge in ("min", "max"))
            steps = [low + (high - low) * random.uniform(0.2, 0.8) for _ in range(EVENTS)]
            print(f"  slider -> 24 designs, torch     {measured(page, 'slider', steps)}")
            until = time.monotonic() + 120
            while time.monotonic() < until and "onnx" not in page.locator("#where").inner_text():
                page.wait_for_timeout(500)
            if "onnx" in page.locator("#where").inner_text():
                page.wait_for_timeout(1000)
                print(f"  slider -> 24 designs, onnx      {measured(page, 'slider', steps)}")
            if page.evaluate("document.querySelectorAll('[data-part=\"2\"][data-state=given]').length"):
                page.keyboard.press("2")
                page.evaluate(MEASURE, ["stroke", [16, 8]])
                page.keyboard.press("l")  # given as it is drawn
                page.locator("#which", has_text="16").wait_for()
                page.wait_for_timeout(500)
                page.get_by_role("button", name="1", exact=True).first.click()  # the smallest brush
                dots = [[2 + n % 29, n // 29] for n in range(EVENTS)]  # each adds a pixel to that part
                print(f"  stroke -> 16 completions        {measured(page, 'stroke', dots)}")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    for name in sys.argv[1:] or [str(path) for path in Path("outputs").glob("*/*")]:
        bench(name)
