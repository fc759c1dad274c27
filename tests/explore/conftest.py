"""Toy tyres with all that a page has to bear: faults of every kind, missing values, names from a stranger."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import epurecli as epure
from epurecli.data import toy

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="session")
def strangers() -> tuple[str, ...]:
    """Names that would act if they were taken for markup, a formula or a place in a template."""
    return (
        "</script><script>window.evil = 1</script>",
        "<img src=x onerror=window.evil=1>",
        "=HYPERLINK(1)",
        "{{script}}",
    )


@pytest.fixture(scope="session")
def tyres() -> Callable[..., epure.Designs]:
    """The first toy designs with their conditions, the first of them called as told: `tyres(count, names)`."""

    def make(count: int, names: tuple[str, ...] = ()) -> epure.Designs:
        images, table = toy.draw(0, 0, count)
        return epure.Designs(
            images=images,
            components=tuple(toy.COMPONENTS),
            names=(*names, *(f"tyre_{i:04d}" for i in range(len(names), count))),
            columns=toy.COLUMNS,
            values=np.stack([table[column] for column in toy.COLUMNS], 1).astype(float),
        )

    return make


@pytest.fixture(scope="session")
def forty(tyres: Callable[..., epure.Designs]) -> epure.Designs:
    return tyres(40)


@pytest.fixture(scope="session")
def explorer(forty: epure.Designs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of forty designs. Read only."""
    return forty.explorer(tmp_path_factory.mktemp("explorer") / "forty.html")


@pytest.fixture(scope="session")
def open_file() -> Callable[..., Page]:
    """Show a file in a page until it is drawn: `open_file(page, path, "#after")`."""

    def show(page: Page, path: Path, after: str = "") -> Page:
        page.goto("about:blank")  # else another text after # alone would load nothing
        page.goto(path.as_uri() + after)
        page.locator("html[data-ready]").wait_for(state="attached")
        return page

    return show


@pytest.fixture
def opened(open_file: Callable[..., Page], explorer: Path, page: Page) -> Page:
    """The file of forty designs, on a page."""
    return open_file(page, explorer)


@pytest.fixture(scope="session")
def names() -> Callable[[Page], list[str]]:
    """The designs that a page shows, in order."""
    return lambda page: page.locator("#grid .name").all_inner_texts()


@pytest.fixture(scope="session")
def downloaded() -> Callable[..., tuple[str, bytes]]:
    """The name and content of the file that an action hands to the reader."""

    def of(page: Page, action: Callable[[], object]) -> tuple[str, bytes]:
        with page.expect_download() as caught:
            action()
        return caught.value.suggested_filename, Path(caught.value.path()).read_bytes()

    return of


@pytest.fixture(scope="session")
def table_of() -> Callable[[bytes], list[dict[str, str]]]:
    """Rows of a CSV file."""
    return lambda text: list(csv.DictReader(io.StringIO(text.decode("utf-8"))))
