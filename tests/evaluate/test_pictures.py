"""The report's pictures: they are what was judged, the extremes are the extremes, and the page holds them safely."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from epurecli.evaluate import Designs, Inpainted, LossCurve, Reference, Report, evaluate, portray, write_reports
from epurecli.evaluate.album import Album, Card, Gallery, Picture
from epurecli.evaluate.inpainting import iou
from epurecli.evaluate.page import MOST_BYTES
from epurecli.evaluate.pictures import EXAMPLES, SHOWN, extremes, png_of
from epurecli.pictures.section import Side, mirrored, overlay

HOSTILE = "<script>alert('&\"')</script>"
LOSSES = tuple(
    LossCurve("training", name, "nats per design", (0.0, 1.0, 2.0), (900.0, 90.0 + i, 50.0 + i))
    for i, name in enumerate(("training", "validation"))
)


@pytest.fixture(scope="module")
def judged(reference: Reference, draw: Callable[[int, int], Designs]) -> tuple[np.ndarray, Designs, Inpainted]:
    """Designs with faults of every size: some pixels added to the 40 samples, more from one to the next."""
    rng = np.random.default_rng(0)
    samples = draw(40, 9).image.copy()
    for i in range(40):
        samples[i, 0].flat[rng.choice(32 * 16, i, replace=False)] = True
    asked = draw(40, 10)
    moved = np.roll(asked.image, 1, axis=0)  # every design is drawn at its neighbour's sizes
    beyond = asked.condition.copy()
    beyond[-3:, 0] = 60.0
    truth = reference.test[:30]
    draws = np.repeat(truth[:, None], 4, axis=1).copy()
    mask = np.ones((30, 3), bool)
    mask[np.arange(30), np.arange(30) % 3] = False
    for i in range(30):
        for s in range(4):
            draws[i, s, i % 3].flat[rng.choice(32 * 16, 3 * (i * 7 % 30) + s, replace=False)] ^= True
    return samples, Designs(moved, beyond), Inpainted(draws, truth, mask)


@pytest.fixture(scope="module")
def report(reference: Reference, judged) -> Report:
    samples, conditional, inpainted = judged
    found = evaluate(samples, reference, conditional=conditional, inpainted=inpainted, model="vae", seed=0)
    album = portray(samples, reference, conditional=conditional, inpainted=inpainted)
    return replace(found, album=album, losses=LOSSES)


def gallery(report: Report, title: str) -> Gallery:
    return next(g for g in report.album.galleries if g.title == title)


def numbers(found: Gallery) -> list[int]:
    """The designs of a gallery, by the number in their captions."""
    return [int(re.match(r"design (\d+)", card.caption).group(1)) for card in found.cards]


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_every_kind_of_design_is_shown_pixel_for_pixel(report: Report, reference: Reference, judged) -> None:
    samples, conditional, inpainted = judged

    def section(image: np.ndarray) -> np.ndarray:
        return overlay(mirrored((255 * image).astype(np.uint8), Side.RIGHT))

    free = gallery(report, "Drawn freely")
    assert len(free.cards) == len(gallery(report, "Real designs").cards) == SHOWN
    for image, card in zip(samples, free.cards, strict=False):
        np.testing.assert_array_equal(pixels(card.pictures[0].png), section(image))
    sized = gallery(report, "Drawn at given sizes")
    assert numbers(sized)[-3:] == [37, 38, 39]
    for i, card in zip(numbers(sized), sized.cards, strict=True):
        np.testing.assert_array_equal(pixels(card.pictures[0].png), section(conditional.image[i]))
        width = conditional.condition[i, 0]
        assert f"width_px {width:g} asked" in card.caption
        assert ("outside the training range" in card.caption) == (i >= 37)
    completed = gallery(report, "Completed")
    for i, card in zip(numbers(completed), completed.cards, strict=True):
        given, *drawn, majority, truth, uncertainty = card.pictures
        count = min(EXAMPLES, inpainted.draws.shape[1])
        labels = ["given", *(f"draw {k + 1}" for k in range(count)), "majority", "truth", "uncertainty"]
        assert [p.label for p in card.pictures] == labels
        most = inpainted.draws[i].mean(0) >= 0.5
        shown = np.where(inpainted.mask[i][:, None, None], inpainted.truth[i], False)
        draws = zip(drawn, inpainted.draws[i], strict=False)
        for picture, image in ((given, shown), *draws, (majority, most), (truth, inpainted.truth[i])):
            np.testing.assert_array_equal(pixels(picture.png), section(image))
        differ = mirrored(inpainted.draws[i].std(0).max(0), Side.RIGHT) > 0
        assert ((pixels(uncertainty.png) < 255).any(-1) == differ).all()
        assert f"{('crown', 'carcass', 'sidewall')[i % 3]} hidden" in card.caption


def test_a_real_design_of_the_same_conditions_stands_beside_the_drawn_one(reference: Reference) -> None:
    conditional = Designs(reference.test[:5], reference.test_condition[[4, 3, 2, 1, 0]])
    found = portray(reference.test[:12], reference, conditional=conditional)
    card = next(g for g in found.galleries if g.title == "Drawn at given sizes").cards[0]
    assert [p.label for p in card.pictures] == ["drawn", "a real one"]
    same = np.flatnonzero((reference.test_condition == reference.test_condition[4]).all(1))[0]
    wanted = overlay(mirrored((255 * reference.test[same]).astype(np.uint8), Side.RIGHT))
    np.testing.assert_array_equal(pixels(card.pictures[1].png), wanted)


def test_the_best_and_the_worst_are_so_by_recomputation(report: Report, reference: Reference, judged) -> None:
    samples, conditional, inpainted = judged
    agreement = [
        np.mean([iou(draw[~given], truth[~given]).mean() for draw in draws])
        for draws, truth, given in zip(inpainted.draws, inpainted.truth, inpainted.mask, strict=True)
    ]
    check_extremes(report, "Completions", np.array(agreement), highest=True)
    assert report["inpainting", "iou"].value == pytest.approx(np.mean(agreement))

    size = 0.0
    for column, axis, scale in ((0, 1, 2), (1, 2, 1)):  # width_px = 2 columns + 1, height_px = rows + 1
        extent = [np.ptp(np.flatnonzero(d.any((0, axis)))) + 1 for d in conditional.image]
        cap, asked = reference.measures[column].cap, conditional.condition[:, column]
        error = np.abs(np.minimum(cap, scale * np.array(extent) + 1) - np.minimum(cap, asked))
        size = np.maximum(size, error)
    check_extremes(report, "Sizes", size, highest=False)

    distance = np.array([(s ^ reference.train).sum((1, 2, 3)).min() for s in samples])
    for title, order in (("Nearest to a training design", 1), ("Furthest from every training design", -1)):
        shown = distance[numbers(gallery(report, title))]
        np.testing.assert_array_equal(shown, np.sort(distance)[::order][: len(shown)])

    worst = gallery(report, "Freely drawn designs: the worst")
    totals = [sum(map(int, re.findall(r"(\d+) px", card.caption))) for card in worst.cards]
    best = gallery(report, "Freely drawn designs: the best")
    assert totals == sorted(totals, reverse=True)
    assert min(totals) > max(sum(map(int, re.findall(r"(\d+) px", card.caption))) for card in best.cards)


def check_extremes(report: Report, title: str, values: np.ndarray, highest: bool) -> None:
    ordered = np.sort(values)[::-1] if highest else np.sort(values)
    best, worst = (numbers(gallery(report, f"{title}: the {end}")) for end in ("best", "worst"))
    assert not set(best) & set(worst)
    np.testing.assert_allclose(values[best], ordered[: len(best)])
    np.testing.assert_allclose(values[worst], ordered[::-1][: len(worst)])
    assert len(best) == len(worst) == 4


@given(st.lists(st.integers(0, 5), max_size=12), st.booleans())
def test_extremes_are_disjoint_and_right(values: list[int], highest: bool) -> None:
    best, worst = extremes(np.array(values, int), highest)
    assert len(best) == len(worst) == min(4, len(values) // 2)
    assert len({*best, *worst}) == 2 * len(best)
    if best:
        ordered = sorted(values, reverse=highest)
        assert [values[i] for i in best] == ordered[: len(best)]
        assert [values[i] for i in worst] == ordered[::-1][: len(worst)]


class Images(HTMLParser):
    """The pictures of a page, and the scripts that it would run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.scripts = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs))
        self.scripts += tag == "script"


def test_the_page_holds_every_picture_as_a_png_of_its_own(report: Report, tmp_path: Path) -> None:
    _, _, path = write_reports([report], tmp_path / "out")
    text = path.read_text(encoding="utf-8")
    images = Images(text).images
    assert len(images) == sum(len(card.pictures) for g in report.album.galleries for card in g.cards) > 100
    for image in images:
        head, _, data = image["src"].partition(",")
        assert head == "data:image/png;base64"
        size = Image.open(io.BytesIO(base64.b64decode(data))).size
        assert int(image["width"]) % size[0] == int(image["height"]) % size[1] == 0
        assert image["alt"]
    assert text.count('<svg class="losses"') == 1
    assert "loss in nats per design" in text
    assert path.stat().st_size < 600_000


def test_only_the_page_holds_the_pictures_and_the_losses_come_back(report: Report, tmp_path: Path) -> None:
    from epurecli.evaluate import read_reports

    path, _, _ = write_reports([report], tmp_path / "out")
    (again,) = read_reports(path)
    assert again.album is None
    assert again.losses == LOSSES
    assert "PNG" not in path.read_text(encoding="utf-8")


def test_models_stand_side_by_side_and_real_designs_once(report: Report, tmp_path: Path) -> None:
    seeds = [report, replace(report, seed=1), replace(report, model="meta_vae")]
    _, _, path = write_reports(seeds, tmp_path / "out")
    text = path.read_text(encoding="utf-8")
    assert text.count("<h3>Real designs</h3>") == text.count("<h3>Drawn freely</h3>") == 1
    other = replace(report.album, galleries=tuple(replace(g, cards=g.cards[::-1]) for g in report.album.galleries[1:]))
    other = replace(other, galleries=(report.album.galleries[0], *other.galleries))
    _, _, path = write_reports([report, replace(report, model="meta_vae", album=other)], tmp_path / "two")
    text = path.read_text(encoding="utf-8")
    real, _, rest = text.partition("<h3>Real designs</h3>")[2].partition("<h3>Drawn freely</h3>")
    assert len(Images(real).images) == SHOWN
    assert len(Images(rest.partition("<h3>")[0]).images) == 2 * SHOWN


def test_large_noisy_pictures_are_thinned_out_until_the_page_is_small_enough(report: Report, tmp_path: Path) -> None:
    big = Picture("drawn", png_of(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)))
    assert len(big.png) > 8_000

    def enlarged(card: Card) -> Card:
        return replace(card, pictures=(big,) * len(card.pictures))

    galleries = tuple(replace(g, cards=tuple(map(enlarged, g.cards))) for g in report.album.galleries)
    _, _, path = write_reports([replace(report, album=Album(report.album.components, galleries))], tmp_path / "out")
    assert path.stat().st_size <= MOST_BYTES == 3_000_000
    assert len(Images(path.read_text(encoding="utf-8")).images) >= len(galleries)


def test_large_sections_are_averaged_down() -> None:
    assert max(pixels(png_of(np.zeros((500, 700, 3), np.uint8))).shape) <= 192


def test_hostile_names_are_text(report: Report, tmp_path: Path) -> None:
    album = replace(report.album, components=(HOSTILE, *report.album.components[1:]))
    card = replace(album.galleries[0].cards[0], caption=HOSTILE)
    first = replace(album.galleries[0], title=HOSTILE, text=HOSTILE, cards=(card,))
    album = replace(album, galleries=(first, *album.galleries[1:]))
    losses = (replace(LOSSES[0], stage=HOSTILE, name=HOSTILE, unit=HOSTILE),)
    hostile = replace(report, model=HOSTILE, album=album, losses=losses)
    for n, reports in enumerate(([hostile], [hostile, report])):
        _, _, path = write_reports(reports, tmp_path / str(n))
        text = path.read_text(encoding="utf-8")
        assert Images(text).scripts == 1, "the page's own"
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text
