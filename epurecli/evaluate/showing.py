"""Pictures and loss curves as HTML: what the models draw of one kind stands side by side."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

from epurecli.evaluate.album import Album, Card, Gallery, LossCurve, Picture
from epurecli.evaluate.metric import Report
from epurecli.evaluate.plot import losses
from epurecli.pictures.palette import colour, css
from epurecli.pictures.section import HEAT, SPREAD_FULL_SCALE

STYLE = """
.legend span { white-space: nowrap; }
.ramp { display: inline-block; width: 5em; height: .8em; margin: 0 .35em 0 1em; }
.models { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1.5rem; }
.cards { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure.card { margin: 0; padding: .4rem; border: 1px solid var(--line); border-radius: 4px; background: var(--soft); }
.card .pictures { display: flex; flex-wrap: wrap; gap: .4rem; }
.card .picture { font-size: .8em; text-align: center; max-width: 8rem; }
.card img { display: block; image-rendering: pixelated; background: #fff; border: 1px solid var(--line); }
.card figcaption { font-size: .85em; width: 0; min-width: 100%; }
"""


def gallery_sections(reports: Sequence[Report], most: int | None = None) -> str:
    """Every gallery of every model, of its first seed that has an album; one that is the same for all stands once.

    Args:
        reports: in the order of the page.
        most: designs shown in a gallery at most.
    """
    albums: dict[str, Album] = {}
    for report in reports:
        if report.album is not None:
            albums.setdefault(report.model, report.album)
    if not albums or most == 0:
        return ""
    titles = dict.fromkeys(gallery.title for album in albums.values() for gallery in album.galleries)
    parts = ["<h2>Designs</h2>", _legend(next(iter(albums.values())))]
    for title in titles:
        found = {m: g for m, album in albums.items() for g in album.galleries if g.title == title}
        parts.append(_side_by_side(title, found, most, alone=len(albums) == 1))
    return "\n".join(parts)


def loss_section(reports: Sequence[Report]) -> str:
    """The loss curves of each model's first seed, a plot for each stage."""
    known: dict[str, tuple[LossCurve, ...]] = {}
    for report in reports:
        if report.losses:
            known.setdefault(report.model, report.losses)
    if not known:
        return ""
    plots = []
    for model, curves in known.items():
        stages = dict.fromkeys(curve.stage for curve in curves)
        drawn = "".join(losses([c for c in curves if c.stage == stage]) for stage in stages)
        name = f"<h4>{escape(model)}</h4>" if len(known) > 1 else ""
        plots.append(f'<div>{name}<div class="plots">{drawn}</div></div>')
    return "<h2>Training</h2>" + "".join(plots)


def _side_by_side(title: str, found: Mapping[str, Gallery], most: int | None, alone: bool) -> str:
    head = f"<h3>{escape(title)}</h3>"
    first = next(iter(found.values()))
    if alone or (len(found) > 1 and all(gallery == first for gallery in found.values())):
        return head + _text(first) + _cards(first, most)
    columns = "".join(f"<div><h4>{escape(m)}</h4>{_text(g)}{_cards(g, most)}</div>" for m, g in found.items())
    return f'{head}<div class="models">{columns}</div>'


def _text(gallery: Gallery) -> str:
    return f"<p>{escape(gallery.text)}</p>"


def _cards(gallery: Gallery, most: int | None) -> str:
    return f'<div class="cards">{"".join(map(_card, gallery.cards[:most]))}</div>'


def _card(card: Card) -> str:
    alone = len(card.pictures) == 1  # then the gallery's title says what it is
    pictures = "".join(_picture(picture, card.caption, "" if alone else picture.label) for picture in card.pictures)
    caption = f"<figcaption>{escape(card.caption)}</figcaption>"
    return f'<figure class="card"><div class="pictures">{pictures}</div>{caption}</figure>'


def _picture(picture: Picture, caption: str, label: str) -> str:
    data = b64encode(picture.png).decode("ascii")
    width, height = _size(picture.png)
    scale = max(1, 128 // max(width, height))  # whole pixels, so that none is blurred
    said = escape(f"{picture.label}: {caption}")
    image = f'<img alt="{said}" width="{scale * width}" height="{scale * height}" src="data:image/png;base64,{data}">'
    return f'<div class="picture">{image}{escape(label)}</div>'


def _size(png: bytes) -> tuple[int, int]:
    """(width, height), from the header that every PNG begins with."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def _legend(album: Album) -> str:
    keys = "".join(
        f'<span><span class="key" style="background:{css(colour(i))}"></span>{escape(name)}</span> '
        for i, name in enumerate(album.components)
    )
    ramp = f'<span class="ramp" style="background:linear-gradient(90deg,{",".join(map(css, HEAT))})"></span>'
    return (
        f'<p class="legend">{keys}(darker: parts overlap) {ramp}uncertainty: standard deviation of a pixel over the '
        f"completions, 0 to {SPREAD_FULL_SCALE}</p>"
    )
