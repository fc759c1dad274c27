"""The file in Chromium, from file://: the short way through it, by keyboard alone, and names that would like to act."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import epurecli as epure

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_it_opens_with_all_designs_and_asks_nobody(opened: Page, heard, forty: epure.Designs, names) -> None:
    assert names(opened) == list(forty.names)
    assert opened.locator("#counts").inner_text() == "40 of 40 designs shown"
    assert {urlsplit(address).scheme for address in heard.requests} <= {"file", "about", "data"}


def test_the_keyboard_alone_is_enough(opened: Page, forty: epure.Designs, names, downloaded, table_of) -> None:
    press = opened.keyboard.press
    press("Tab")
    press("Enter")  # "to the designs"
    for key in ("ArrowRight", "ArrowRight", "s", "c", "ArrowDown", "c"):
        press(key)
    current = opened.locator("#name").inner_text()
    assert current not in forty.names[:3]
    assert opened.locator("#grid li.current .name").inner_text() == current
    press("n")
    opened.keyboard.type("stiff, looks good")
    press("Escape")
    press("d")
    assert opened.locator("#compared figcaption").all_inner_texts() == [
        f"A: {forty.names[2]}\ntake out", f"B: {current}\ntake out"
    ]  # fmt: skip
    press("o")
    assert names(opened) == [forty.names[2]]
    press("o")
    press("End")  # not in the grid: nothing moves
    assert opened.locator("#name").inner_text() == current
    press("g")
    press("End")
    assert opened.locator("#name").inner_text() == forty.names[-1]
    press("/")
    opened.keyboard.type("stiff")
    assert names(opened) == [current]
    press("Escape")
    name, text = downloaded(opened, lambda: press("x"))
    (line,) = table_of(text)
    assert (name, line["name"], line["star"]) == ("selection.csv", forty.names[2], "1")
    press("?")
    assert opened.get_by_role("dialog").is_visible()
    press("Space")  # single letters off
    press("Escape")
    press("f")
    assert not opened.get_by_label("feasible only").is_checked()


def test_hostile_names_are_seen_as_they_are(
    page: Page, tmp_path: Path, names, downloaded, table_of, open_file, tyres, strangers
) -> None:
    designs = tyres(6, strangers)
    path = designs.explorer(
        tmp_path / "hostile.html", title=strangers[0], values={strangers[1]: range(6), strangers[0]: [strangers[1]] * 6}
    )
    open_file(page, path)
    assert names(page)[:4] == list(strangers)
    assert page.locator("h1").inner_text() == strangers[0]
    assert page.title() == strangers[0]
    for _ in range(3):
        page.keyboard.press("c")
        page.keyboard.press("s")
        page.locator("#next").click()
    page.locator("#grid .open").nth(1).click()
    name, text = downloaded(page, lambda: page.keyboard.press("v"))
    assert name == "_img src=x onerror=window.evil=1_.svg"
    assert b"<img" not in text
    _, text = downloaded(page, lambda: page.keyboard.press("x"))
    assert [row["name"] for row in table_of(text)] == [*strangers[:2], "'" + strangers[2]]
    assert page.locator("#values tr", has_text=strangers[0]).locator("td").inner_text() == strangers[1]
    assert page.evaluate("window.evil") is None
    assert page.locator("img, script").count() == 3  # its own
