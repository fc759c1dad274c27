"""The file: the page's own text, and the designs in it, deflated.

Style and script are allowed by their digests and nothing else is (`_POLICY`), so that no text in a name can act and
nothing is fetched. The browser inflates the data (DecompressionStream).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from epurecli.evaluate.page import TOKENS
from epurecli.evaluate.validity import STRAY_ALLOWED, Faults
from epurecli.pictures.palette import colour, css
from epurecli.pictures.section import Side

MODULES = ("dom", "data", "section", "state", "grid", "parallel", "scatter", "detail", "compare", "keys", "main")
_POLICY = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; base-uri 'none'; form-action 'none'"
)
_DIGITS = 6  # significant, of what is no whole number
_LONGEST = 200  # characters of a word


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A number of each design, NaN where it has none; or words, which are shown, and neither sorted nor drawn."""

    name: str
    values: NDArray[np.float64] | tuple[str, ...]  # (N,)


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """N designs of C components as the page holds them.

    Attributes:
        labels: (N, H, W) uint8, 0 the background, c + 1 component c.
        side: the edge that is the centre plane.
    """

    title: str
    names: Sequence[str]
    components: Sequence[str]
    labels: NDArray[np.uint8]
    columns: Sequence[Column]
    faults: Faults
    side: Side = Side.RIGHT


def render(shown: Shown, version: str) -> str:
    """The whole file.

    Args:
        version: of the software, for people.
    """
    maps = zlib.compress(shown.labels.tobytes(), 9)
    table = _table(shown, hashlib.sha256(maps).hexdigest()[:12])
    style = _web("style.css").replace("{{tokens}}", TOKENS)
    script = _script()
    return _filled(
        _web("index.html"),
        policy=escape(_POLICY.format(script=_digest(script), style=_digest(style))),
        title=escape(shown.title),
        version=escape(version),
        style=style,
        script=script,
        table=base64.b64encode(zlib.compress(table, 9)).decode(),
        maps=base64.b64encode(maps).decode(),
    )


def _table(shown: Shown, digest: str) -> bytes:
    """All but the label maps, as JSON."""
    _, height, width = shown.labels.shape
    found = shown.faults
    faults = np.stack([found.objects, found.empty, found.stray, found.gap, found.overlap], 1)
    numbers, words = [], []
    for column in shown.columns:
        if isinstance(column.values, tuple):
            words.append({"name": column.name, "values": [_cut(text) for text in column.values]})
        elif np.isfinite(column.values).any():
            numbers.append({"name": column.name, "values": [_short(value) for value in column.values]})
    tree = {
        "digest": digest,
        "height": height,
        "width": width,
        "side": shown.side.value,
        "names": list(shown.names),
        "components": [{"name": name, "colour": css(colour(c))} for c, name in enumerate(shown.components)],
        "columns": numbers,
        "words": words,
        "faults": faults.tolist(),
        "valid": found.valid.astype(int).tolist(),
        "stray_allowed": STRAY_ALLOWED,
    }
    return json.dumps(tree, separators=(",", ":")).encode()


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _short(value: float) -> float | int | None:
    if not np.isfinite(value):
        return None
    return int(value) if value == int(value) and abs(value) < 2**53 else float(f"{value:.{_DIGITS}g}")


@cache
def _web(name: str) -> str:
    return files("epurecli.explore").joinpath("web", name).read_text(encoding="utf-8")


@cache
def _script() -> str:
    """The modules in one script, each in a scope of its own, in an order in which none needs a later one."""
    return "\n".join(_scoped(name, _web(f"{name}.mjs")) for name in MODULES)


def _scoped(name: str, text: str) -> str:
    exports = re.findall(r"^export (?:async )?(?:function|const) (\w+)", text, flags=re.MULTILINE)
    text = re.sub(r'^import \{ (.*) \} from "\./(\w+)\.mjs";$', r"const { \1 } = $\2;", text, flags=re.MULTILINE)
    text = re.sub(r"^export ", "", text, flags=re.MULTILINE)
    return f"const ${name} = (() => {{\n{text}return {{ {', '.join(exports)} }};\n}})();"


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _filled(shell: str, **parts: str) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], shell)
