"""The file in Chromium, from file://: what a person sees and does, by mouse and by keyboard alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import epurecli as epure
from epurecli.data import toy
from epurecli.evaluate.validity import faults
from epurecli.pictures.section import Side, mirrored

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow  # test_walk.py has the short way


def test_the_picture_is_the_section_in_the_palette(opened: Page, forty: epure.Designs) -> None:
    canvas = opened.locator("#grid canvas").nth(3)
    pixels = canvas.evaluate("c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)")
    drawn = np.array(pixels).reshape(64, 64, 4)
    labels = mirrored(forty.labels[3], Side.RIGHT)
    np.testing.assert_array_equal(drawn[..., 3] > 0, labels > 0)
    assert (drawn[labels == 2][:, :3] == (230, 159, 0)).all()


def test_ranges_by_number_and_by_mouse_and_feasible_only(opened: Page, forty: epure.Designs, names) -> None:
    values = forty.conditions["d_cons"].to_numpy()
    opened.get_by_label("d_cons, at least").fill("0.05")
    opened.keyboard.press("Tab")
    assert names(opened) == [n for n, v in zip(forty.names, values, strict=True) if v >= 0.05]
    assert opened.locator("#counts").inner_text() == f"{(values >= 0.05).sum()} of 40 designs shown"
    opened.get_by_role("button", name="clear filters").click()
    strip = opened.locator(".axis", has_text="width_px").first.locator(".strip")
    box = strip.bounding_box()
    opened.mouse.move(box["x"] + 10, box["y"] + 2)
    opened.mouse.down()
    opened.mouse.move(box["x"] + 10, box["y"] + box["height"] / 2, steps=4)
    opened.mouse.up()
    low = float(opened.get_by_label("width_px, at least").input_value())
    widths = forty.conditions["width_px"].to_numpy()
    assert widths.min() < low < widths.max()
    assert names(opened) == [n for n, v in zip(forty.names, widths, strict=True) if v >= low]
    opened.mouse.click(box["x"] + 10, box["y"] + 20)  # a click lets the range go
    assert len(names(opened)) == 40
    opened.get_by_label("feasible only").check()
    valid = faults(forty.images >= 128).valid
    assert names(opened) == [n for n, v in zip(forty.names, valid, strict=True) if v]


def test_sorting_and_finding(opened: Page, forty: epure.Designs, names) -> None:
    opened.get_by_label("sort").select_option("d_rigid")
    opened.get_by_label("largest first").check()
    assert names(opened) == list(forty.conditions["d_rigid"].sort_values(ascending=False).index)
    opened.get_by_label("find").fill("_003")
    assert sorted(names(opened)) == [n for n in forty.names if "_003" in n]
    opened.get_by_label("find").fill("nowhere")
    assert opened.get_by_text("No design passes the filters.").is_visible()


def test_every_control_can_be_reached_by_tab(opened: Page) -> None:
    seen, where = [], None
    for _ in range(80):
        opened.keyboard.press("Tab")
        where = opened.evaluate(
            "document.activeElement.id || document.activeElement.ariaLabel || document.activeElement.className"
        )
        seen.append(where)
        if where == "note":
            break
    wanted = {
        "skip",
        "copy",
        "save",
        "help",
        "points",
        "feasible",
        "starred",
        "find",
        "sort",
        "falling",
        "open",
        "note",
        "star",
        "add",
        "svg",
    }
    assert wanted | {"scatter-x", "scatter-y", "d_cons, at least", "d_cons, at most", "d_cons to the left"} <= set(seen)


def test_the_link_brings_everything_along(opened: Page, explorer: Path, names, open_file) -> None:
    opened.keyboard.press("g")
    for key in ("ArrowRight", "s", "c", "f"):
        opened.keyboard.press(key)
    opened.locator("#note").fill("100 % <b>&=#")
    opened.get_by_label("d_life, at most").fill("0.3")
    opened.get_by_role("button", name="d_life to the left").click()
    opened.locator("#scatter-y").select_option("d_stab")
    opened.wait_for_url(re.compile("#of=.*ranges"))
    before, address = names(opened), opened.url
    open_file(opened, explorer, "#" + address.split("#")[1])
    assert names(opened) == before
    assert opened.locator("#note").input_value() == "100 % <b>&=#"
    assert opened.locator("#star").inner_text() == "★ starred"
    assert opened.get_by_label("feasible only").is_checked()
    assert opened.locator(".axis-name").all_inner_texts()[3:5] == ["d_life", "d_rigid"]
    assert opened.locator("#compared figure").count() == 1
    assert opened.locator("#scatter-y").evaluate("s => s.selectedOptions[0].text") == "d_stab"


@pytest.mark.parametrize(
    "after",
    [
        "#stars=1,2",
        "#of=DIGEST&stars=-1,1e9,x,0.5&notes=[[99,1],5,[0]]&ranges=[[0,%22a%22]]&axes=77&xy=,&sort=x&at=-3&compare=1,1,1",
        "#of=DIGEST&notes={&ranges=7&notes=null",
        "#%E0%A4%A",
    ],
)
def test_a_link_that_does_not_fit_does_no_harm(page: Page, explorer: Path, after: str, names, open_file) -> None:
    open_file(page, explorer)
    page.keyboard.press("s")
    page.wait_for_url(re.compile("#of="))
    digest = re.search(r"of=(\w+)", page.url)[1]
    open_file(page, explorer, after.replace("DIGEST", digest))
    assert len(names(page)) == 40
    assert page.locator("#star").inner_text() == "☆ star"


def test_a_link_of_another_file_is_said(page: Page, explorer: Path, open_file) -> None:
    open_file(page, explorer, "#of=000000000000&stars=1")
    assert "of another file" in page.locator("#said").inner_text()
    assert page.locator(".star[aria-pressed=true]").count() == 0


def test_svg_draws_the_very_pixels(opened: Page, forty: epure.Designs, downloaded) -> None:
    opened.locator("#grid .open").nth(5).click()
    name, text = downloaded(opened, lambda: opened.get_by_role("button", name="save SVG").click())
    assert name == f"{forty.names[5]}.svg"
    pixels = opened.evaluate(
        """async (text) => {
          const image = new Image();
          image.src = "data:image/svg+xml;base64," + btoa(text);
          await image.decode();
          const canvas = document.createElement("canvas");
          canvas.width = canvas.height = 64;
          const context = canvas.getContext("2d");
          context.drawImage(image, 0, 0, 64, 64);
          return Array.from(context.getImageData(0, 0, 64, 64).data);
        }""",
        text.decode(),
    )
    drawn = np.array(pixels).reshape(64, 64, 4)
    labels = mirrored(forty.labels[5], Side.RIGHT)
    np.testing.assert_array_equal(drawn[..., 3], np.where(labels > 0, 255, 0))
    colours = ((86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (0, 114, 178))
    for part, wanted in enumerate(colours, 1):
        assert (drawn[labels == part][:, :3] == wanted).all()
    for part in forty.components:
        assert f'data-part="{part}"' in text.decode()


def test_corners_islands_and_holes_have_their_outlines(page: Page, tmp_path: Path, open_file) -> None:
    """Checkerboards, single pixels, rings: where a walk along edges may go astray."""
    rng = np.random.default_rng(0)
    images = np.zeros((3, 2, 16, 16), np.uint8)
    labels = rng.integers(0, 3, (3, 16, 16))
    labels[0] = (np.indices((16, 16)).sum(0) % 2) + 1
    labels[1] = 0
    labels[1, 2:9, 2:9], labels[1, 4:7, 4:7], labels[1, 5, 5] = 1, 0, 2
    for part in (1, 2):
        images[:, part - 1][labels == part] = 255
    designs = epure.Designs(images, ("a", "b"), ("x", "y", "z"))
    open_file(page, designs.explorer(tmp_path / "odd.html"))
    for i in range(3):
        page.locator("#grid .open").nth(i).click()
        inside = page.evaluate(
            """() => [...document.querySelectorAll("#drawing path")].map((path) => {
              const shape = new Path2D(path.getAttribute("d")), found = [];
              const context = document.createElement("canvas").getContext("2d");
              for (let y = 0; y < 16; y++) for (let x = 0; x < 32; x++) {
                found.push(context.isPointInPath(shape, x + .5, y + .5, "evenodd"));
              }
              return [path.dataset.part, found];
            })"""
        )
        full = mirrored(labels[i], Side.RIGHT)
        assert {part for part, _ in inside} == {"ab"[p - 1] for p in (1, 2) if (labels[i] == p).any()}
        for part, found in inside:
            np.testing.assert_array_equal(np.array(found).reshape(16, 32), full == "ab".index(part) + 1)


@pytest.mark.parametrize("size", [(8, 300), (256, 128), (8, 8)])
def test_any_size_of_image_fits_its_tile(page: Page, tmp_path: Path, open_file, size: tuple[int, int]) -> None:
    images = np.full((2, 1, *size), 255, np.uint8)
    open_file(page, epure.Designs(images, ("a",), ("x", "y")).explorer(tmp_path / "odd.html"))
    tile, canvas = (page.locator(f"#grid {what}").first.bounding_box() for what in ("li", "canvas"))
    assert tile["x"] <= canvas["x"]
    assert canvas["x"] + canvas["width"] <= tile["x"] + tile["width"]
    assert max(canvas["width"], canvas["height"]) == pytest.approx(128, abs=1)


def test_comparison_and_difference(opened: Page, forty: epure.Designs) -> None:
    for i in (0, 4, 9, 14, 20):
        opened.locator("#grid .open").nth(i).click()
        opened.keyboard.press("c")
    assert "take one out" in opened.locator("#said").inner_text()
    assert opened.locator("#compared figure").count() == 4
    opened.locator("#first").select_option("2")
    first, second = (mirrored(forty.labels[i], Side.RIGHT) for i in (9, 4))
    rows = opened.locator("#difference-table tbody tr").all()
    assert len(rows) == 5
    for part, row in enumerate(rows, 1):
        a, b = first == part, second == part
        wanted = [a.sum(), b.sum(), (a & ~b).sum(), (b & ~a).sum()]
        assert [int(cell) for cell in row.locator("td").all_inner_texts()] == wanted
    assert "C: " in opened.locator("#flicker figcaption").inner_text()
    opened.locator("#hold").focus()
    opened.keyboard.down("Space")
    assert "B: " in opened.locator("#flicker figcaption").inner_text()
    opened.keyboard.up("Space")
    assert "C: " in opened.locator("#flicker figcaption").inner_text()
    row = opened.locator("#compare-table tr", has_text="d_cons").locator("td").all_inner_texts()
    np.testing.assert_allclose([float(v) for v in row], forty.values[[0, 4, 9, 14], 2], rtol=1e-4)


def test_selection_is_what_is_shown_until_something_is_starred(
    opened: Page, forty: epure.Designs, downloaded, table_of
) -> None:
    opened.get_by_label("d_cons, at least").fill("0.05")
    opened.keyboard.press("Tab")
    _, text = downloaded(opened, lambda: opened.locator("#save").click())
    rows = table_of(text)
    kept = forty.conditions[forty.conditions["d_cons"] >= 0.05]
    assert [row["name"] for row in rows] == list(kept.index)
    for column in forty.columns:
        np.testing.assert_allclose([float(row[column]) for row in rows], kept[column], rtol=1e-5)


def test_scatter_is_clicked_and_walked(opened: Page, forty: epure.Designs) -> None:
    opened.get_by_label("across").select_option("d_cons")
    opened.locator("#points").focus()
    order = list(forty.conditions["d_cons"].sort_values().index)
    opened.keyboard.press("ArrowRight")
    assert opened.locator("#name").inner_text() == order[order.index(forty.names[0]) + 1]
    box = opened.locator("#points").bounding_box()
    opened.mouse.click(box["x"] + box["width"] - 14, box["y"] + box["height"] / 2)
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert opened.locator("#hint").is_visible()


CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => (v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  const light = (colour) => [.2126, .7152, .0722].reduce((sum, weight, k) => sum + weight * linear(colour[k] / 255), 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = rgb(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement, text = walk.currentNode.data.trim();
    if (!text || !node.checkVisibility() || node.closest("svg, script, .swatch")) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
    found.push([(a + .05) / (b + .05), text]);
  }
  return found;
}"""  # WCAG 2.2: relative luminance, contrast ratio

TARGETS = """() => [...document.querySelectorAll("button, input, select, summary, textarea")]
  .filter((target) => target.checkVisibility() && target.id !== "skip")
  .map((target) => [(target.closest("label") ?? target).getBoundingClientRect(), target.outerHTML])
  .map(([box, text]) => [box.width, box.height, text])"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_and_targets(new_page, explorer: Path, scheme: str, open_file) -> None:
    page = open_file(new_page(color_scheme=scheme, viewport={"width": 1300, "height": 900}), explorer)
    page.keyboard.press("g")
    for key in ("s", "c", "ArrowRight", "c", "?"):
        page.keyboard.press(key)
    contrasts = page.evaluate(CONTRAST)
    assert len(contrasts) > 100
    assert not [(c, text) for c, text in contrasts if c < 4.5]
    page.keyboard.press("Escape")
    page.get_by_text("choose axes").click()
    sizes = page.evaluate(TARGETS)
    assert len(sizes) > 60
    assert not [size for size in sizes if min(size[:2]) < 24]


@pytest.mark.parametrize("width", [360, 3840])
def test_it_fits_a_phone_and_a_wall(new_page, explorer: Path, width: int, open_file) -> None:
    page = open_file(new_page(viewport={"width": width, "height": 800}), explorer)
    page.keyboard.press("c")
    page.locator("#next").click()
    page.keyboard.press("c")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#compared figure").count() == 2


AXES = """() => {
  const canvas = document.getElementById("lines"), left = canvas.getBoundingClientRect().left;
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return [...document.querySelectorAll(".strip")].map((strip) => {
    const box = strip.getBoundingClientRect(), middle = Math.round(box.left + box.width / 2 - left);
    const inked = (y) => [-1, 0, 1].some((by) => pixels[4 * (y * canvas.width + middle + by) + 3] > 100);
    let rows = 0;
    for (let y = 20; y < canvas.height - 20; y++) rows += inked(y);
    return rows / (canvas.height - 40);
  });
}"""  # how much of each axis is drawn where its strip lies


@pytest.mark.parametrize("width", [360, 1440])
def test_lines_and_brushes_share_their_axes(new_page, tmp_path: Path, open_file, tyres, width: int) -> None:
    path = tyres(8).explorer(tmp_path / "a.html", values={"a name " * 20: range(8)})
    page = open_file(new_page(viewport={"width": width, "height": 800}), path)
    page.get_by_text("choose axes").click()
    page.locator("#axis-list label", has_text="a name").locator("input").check()
    drawn = page.evaluate(AXES)
    assert len(drawn) == 7
    assert min(drawn) >= 0.9
    assert page.locator("#axes").bounding_box()["width"] < 1500


def test_many_designs_are_made_as_they_are_scrolled_to(page: Page, tmp_path: Path, open_file, tyres) -> None:
    open_file(page, tyres(700).explorer(tmp_path / "many.html"))
    assert page.locator("#grid li").count() < 400
    page.keyboard.press("g")
    page.keyboard.press("End")
    assert page.locator("#name").inner_text() == "tyre_0699"
    assert page.locator("#grid li").count() == 700


def test_a_damaged_file_says_so(page: Page, explorer: Path, tmp_path: Path, heard) -> None:
    text = explorer.read_text("utf-8")
    at = text.index('id="maps">') + 60
    path = tmp_path / "damaged.html"
    path.write_text(text[:at] + "AAAAAAAA" + text[at + 8 :], encoding="utf-8")
    page.goto(path.as_uri())
    page.get_by_text("This file is damaged").wait_for()
    heard.faults.clear()


def test_a_note_is_no_formula(opened: Page, downloaded, table_of) -> None:
    opened.locator("#note").fill("=1+1")
    opened.keyboard.press("Escape")
    opened.keyboard.press("s")
    _, text = downloaded(opened, lambda: opened.locator("#save").click())
    assert table_of(text)[0]["note"] == "'=1+1"
    assert set(toy.COLUMNS) <= set(table_of(text)[0])
