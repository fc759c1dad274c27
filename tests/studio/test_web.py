"""The page's files: small, of one piece, readable in both themes and both languages."""

from __future__ import annotations

import re
from http.client import HTTPConnection

import pytest
from studio.client import cookie_of

from epurecli.studio.app import TYPES, WEB
from epurecli.studio.server import Server

FILES = sorted(WEB.iterdir())
MOST_BYTES = 80_000  # on their way to the browser
MODULES = {path.name: path.read_text(encoding="utf-8") for path in FILES if path.suffix == ".mjs"}
TEXTS = dict(re.findall(r'(\w+): \[\s*("(?:[^"\\]|\\.)*",\s*"(?:[^"\\]|\\.)*")\]', MODULES["texts.mjs"]))


def test_the_page_is_small_on_its_way(server: Server) -> None:
    total, cookie = 0, cookie_of(server)
    for path in FILES:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", f"/web/{path.name}", headers={"Cookie": cookie, "Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        assert answer.headers["Content-Type"].startswith(TYPES[path.suffix])
        total += len(answer.read())
    assert total < MOST_BYTES


def test_nothing_comes_from_elsewhere() -> None:
    for path in FILES:
        found = re.findall(r"https?://[^\s\"'`]+", path.read_text(encoding="utf-8"))
        assert set(found) <= {"http://www.w3.org/2000/svg"}, path.name


def test_the_page_has_no_markup_from_text_and_no_inline_code() -> None:
    everything = "".join(MODULES.values())
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", everything)
    assert not re.search(r"\son\w+=|style=|<script(?! type=\"module\" src)", (WEB / "index.html").read_text())


def test_every_text_is_there_in_both_languages_and_used() -> None:
    code = "".join(text for name, text in MODULES.items() if name != "texts.mjs") + (WEB / "index.html").read_text()
    used = set(re.findall(r'\bt\("(\w+)"', code)) | set(re.findall(r'data-t(?:-label)?="(\w+)"', code))
    assert len(TEXTS) > 100
    assert not used - TEXTS.keys()
    made = {f"u{n}" for n in range(4)}  # of a number
    assert not [key for key in TEXTS.keys() - used - made if f'"{key}"' not in code]
    for key, pair in TEXTS.items():
        english, french = re.findall(r'"((?:[^"\\]|\\.)+)"', pair)
        assert sorted(re.findall(r"\{\d\}", english)) == sorted(re.findall(r"\{\d\}", french)), key


def _luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
    values = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast(theme: int) -> None:
    """WCAG 2.1 AA: text 4.5 to 1, edges of controls 3 to 1."""
    blocks = re.findall(r":root \{([^}]*)\}", (WEB / "style.css").read_text())
    tokens = dict(re.findall(r"--([\w-]+): (#\w+)", blocks[theme]))

    def contrast(one: str, other: str) -> float:
        low, high = sorted((_luminance(tokens[one]), _luminance(tokens[other])))
        return (high + 0.05) / (low + 0.05)

    for text in ("ink", "soft-ink", "warn", "bad", "accent"):
        for ground in ("panel", "paper"):
            assert contrast(text, ground) >= 4.5, (text, ground)
    assert contrast("on-accent", "accent") >= 4.5
    for ground in ("panel", "paper", "sheet"):
        assert contrast("edge", ground) >= 3, ground
