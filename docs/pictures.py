"""Makes the pictures of the README from a trained run: `python docs/pictures.py RUN [NAME ...]`.

RUN is what `make demo` leaves (demo/outputs/vae/...), with its data beside it. A picture is a function of the run that
returns an image; it goes to docs/pictures/<name>.png, below 150 kB. To add one, write its function and name it in
PICTURES.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

import epurecli as epure
from epurecli.evaluate import write_reports

FOLDER = Path(__file__).parent / "pictures"
MOST_BYTES = 150_000
COLOURS = (256, 128, 64, 32)  # as many as fit
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def sheet(run: epure.Run) -> Image.Image:
    """Eight designs at given sizes, and what two parts leave open in four others."""
    drawn = run.sample(conditions={"width_px": [50, 54, 58, 62] * 2, "height_px": [47] * 4 + [55] * 4}, seed=0).sheet()
    completed = run.complete(run.test[:3].only("group_km", "fpu"), draws=10, seed=0).sheet()
    both = Image.new("RGB", (max(drawn.width, completed.width), drawn.height + completed.height), "white")
    both.paste(drawn, (0, 0))
    both.paste(completed, (0, drawn.height))
    return both.resize((1400, round(1400 * both.height / both.width)), Image.Resampling.LANCZOS)


def report(run: epure.Run) -> Image.Image:
    """The top of `report.html`, as a browser shows it."""
    with tempfile.TemporaryDirectory() as folder:
        page = write_reports([run.evaluate(num_samples=500)], Path(folder) / "report")[2]
        return photograph(page.as_uri(), (1000, 1250))


def design(run: epure.Run) -> Image.Image:
    """The top of the report that `epure design` writes."""
    found = run.design(ranges={"width_px": (54, 58)}, at_least={"d_life": 0.0}, maximise=["d_rigid", "d_stab"], count=8)
    with tempfile.TemporaryDirectory() as folder:
        page = found.save(Path(folder) / "designs") / "report.html"
        return photograph(page.as_uri(), (1000, 1000))


def outline(run: epure.Run) -> Image.Image:
    """A design as it was drawn, and its outlines."""
    drawn = run.sample(1, conditions={"width_px": 58.0}, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "outline.html"
        style = "<style>body { margin: 0 } svg { width: 640px; height: 640px }</style>"
        page.write_text(f"{style}{drawn.to_svg()}", encoding="utf-8")
        smooth = photograph(page.as_uri(), (640, 640))
    pixels = drawn.pil().resize((640, 640), Image.Resampling.NEAREST)
    both = Image.new("RGB", (1290, 640), "white")
    both.paste(pixels, (0, 0))
    both.paste(smooth, (650, 0))
    return both


def studio(run: epure.Run) -> Image.Image:
    """The studio as it opens."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "epurecli", "studio", str(run.path.resolve()), "--no-browser"]
        server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert server.stdout is not None
            address = next(found[0] for line in server.stdout if (found := re.search(r"http://127\S+", line)))
            with sync_playwright() as playwright:
                shown = playwright.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
                page = shown.new_page(viewport={"width": 1440, "height": 900})
                page.goto(address)
                page.wait_for_timeout(8000)  # until figures are predicted
                shot = page.screenshot()
                shown.close()
        finally:
            server.terminate()
            server.wait()
    return Image.open(io.BytesIO(shot)).convert("RGB")


PICTURES: dict[str, Callable[[epure.Run], Image.Image]] = {
    "sheet": sheet,
    "report": report,
    "design": design,
    "outline": outline,
    "studio": studio,
}


def browser() -> str:
    """The path of a browser."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found or sys.exit(f"none of {', '.join(BROWSERS)} is on the path: install one")


def photograph(address: str, size: tuple[int, int]) -> Image.Image:
    """What a browser without a window shows of a page, (width, height) pixels."""
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        command = [
            browser(),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--screenshot={shot}",
        ]
        window = f"--window-size={size[0]},{size[1]}"
        subprocess.run([*command, window, address], check=True, capture_output=True, timeout=120)
        return Image.open(shot).convert("RGB")


def png(image: Image.Image) -> bytes:
    """The picture with as many colours as the size allows."""
    for colours in COLOURS:
        buffer = io.BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(buffer, format="PNG", optimize=True)
        if buffer.tell() < MOST_BYTES:
            return buffer.getvalue()
    raise SystemExit(
        f"{buffer.tell():,} bytes with {colours} colours, more than {MOST_BYTES:,}: make the picture smaller"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the pictures of the README.")
    parser.add_argument("run", type=Path, help="run folder, for example demo/outputs/vae/<time>")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the pictures (default: docs/pictures)")
    parser.add_argument("names", nargs="*", default=list(PICTURES), help=f"which: {', '.join(PICTURES)} (default: all)")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.names) - PICTURES.keys()):
        parser.error(f"no picture {unknown[0]!r}; there are {', '.join(PICTURES)}")
    run = epure.load(asked.run)
    asked.out.mkdir(exist_ok=True)
    for name in asked.names:
        content = png(PICTURES[name](run))
        (asked.out / f"{name}.png").write_bytes(content)
        print(f"{asked.out / name}.png: {len(content):,} bytes")


if __name__ == "__main__":
    main()
