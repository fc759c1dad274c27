"""Pictures for the report: contact sheets of every kind of design, and the best and the worst by each metric.

Sections are drawn in their own resolution; the page enlarges them. So a hundred designs take some hundred kilobytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from epurecli.evaluate.album import Album, Card, Gallery, Picture
from epurecli.evaluate.conditioning import Measure, size_errors
from epurecli.evaluate.images import Bits, Designs, Floats, Inpainted, as_bits
from epurecli.evaluate.inpainting import check, design_iou
from epurecli.evaluate.judge import Reference
from epurecli.evaluate.neighbours import differing_pixels
from epurecli.evaluate.validity import claimed_twice, gap_pixels, stray_pixels
from epurecli.pictures.section import Side, heat, mirrored, overlay

SHOWN = 12  # designs of a contact sheet
EXAMPLES = 3  # draws of each completed design
EXTREMES = 4  # best, and as many worst, of a metric
_LONGEST = 192  # pixels of a picture's longer side; larger sections are averaged down
_COLOURS = 64  # of a picture: a section has one for each part, and those between them at soft edges


def portray(
    samples: NDArray[np.generic],
    reference: Reference,
    *,
    conditional: Designs | None = None,
    inpainted: Inpainted | None = None,
    mirror: Side = Side.RIGHT,
) -> Album:
    """Draw what `evaluate` judges; takes the same arrays.

    Args:
        samples: (N, C, H, W) designs drawn freely.
        reference: from `fit_reference`.
        conditional: designs with the conditions (raw units) that were asked for.
        inpainted: completions of test designs.
        mirror: the edge that sections are mirrored at.

    Raises:
        DataError: see `as_bits` and `inpainting.check`.
    """
    illustrator = _Illustrator(reference, mirror)
    galleries = [illustrator.real(), illustrator.free(samples)]
    if conditional is not None and reference.measures:
        galleries.append(illustrator.sized(conditional))
    if inpainted is not None:
        galleries.append(illustrator.completed(inpainted))
    galleries += illustrator.soundest(samples)
    if conditional is not None and reference.measures:
        galleries += illustrator.nearest_to_their_sizes(conditional)
    if inpainted is not None:
        galleries += illustrator.nearest_to_the_truth(inpainted)
    galleries += illustrator.furthest_from_training(samples)
    return Album(reference.components, tuple(galleries))


def extremes(values: NDArray[np.generic], highest_first: bool, count: int = EXTREMES) -> tuple[list[int], list[int]]:
    """Rows of the best and of the worst values, best and worst first; equal values in order; no row in both."""
    order = np.argsort(-values if highest_first else values, kind="stable")
    count = min(count, len(order) // 2)
    worst = np.argsort(values if highest_first else -values, kind="stable")
    return order[:count].tolist(), [row for row in worst.tolist() if row not in order[:count]][:count]


class _Illustrator:
    """Draws designs of one reference."""

    def __init__(self, reference: Reference, mirror: Side) -> None:
        self.reference, self.mirror = reference, mirror

    def real(self) -> Gallery:
        real = self.reference
        rows = np.unique(np.linspace(0, len(real.test) - 1, SHOWN).astype(int))
        cards = [Card((self.section("real", real.test[i]),), self.sizes(real.test_condition[i])) for i in rows]
        return Gallery("Real designs", "Test designs, evenly spaced: what the drawn ones should look like.", (*cards,))

    def free(self, samples: NDArray[np.generic]) -> Gallery:
        cards = [Card((self.section("drawn", image),), f"design {i}") for i, image in enumerate(samples[:SHOWN])]
        return Gallery("Drawn freely", "The first ones drawn, not chosen.", (*cards,))

    def sized(self, conditional: Designs) -> Gallery:
        beyond = np.flatnonzero(~self.within(conditional.condition))[: SHOWN // 3]
        first = [i for i in range(len(conditional.image)) if i not in beyond][: SHOWN - len(beyond)]
        text = "Beside each: a real design of the same conditions, where there is one."
        if len(beyond):
            text += " The last ones ask for sizes that no training design has."
        cards = [self.sized_card(conditional, i) for i in (*first, *beyond.tolist())]
        return Gallery("Drawn at given sizes", text, (*cards,))

    def completed(self, inpainted: Inpainted) -> Gallery:
        draws, truth = check(inpainted)
        value = design_iou(draws, truth, inpainted.judged)
        cards = [self.completed_card(inpainted, i, value[i]) for i in range(min(SHOWN, len(value)))]
        text = "What was given, three draws, what most of ten say, the true design, where draws differ (darker: more)."
        return Gallery("Completed", text, (*cards,))

    def soundest(self, samples: NDArray[np.generic]) -> list[Gallery]:
        bits = as_bits(samples, "samples")
        faults = np.stack([stray_pixels(bits), gap_pixels(bits), claimed_twice(bits)], 1)  # (N, 3)

        def card(i: int) -> Card:
            stray, gap, twice = faults[i].tolist()
            caption = f"design {i}: {stray} px stray, {gap} px in gaps, {twice} px claimed twice"
            return Card((self.section("drawn", samples[i]),), caption)

        what = "pixels that are stray, in gaps, or claimed twice"
        return _best_and_worst("Freely drawn designs", what, faults.sum(1), False, card)

    def nearest_to_their_sizes(self, conditional: Designs) -> list[Gallery]:
        error = np.stack(list(self.errors(conditional).values())).max(0)
        return _best_and_worst(
            "Sizes", "largest error of a size in px", error, False, lambda i: self.sized_card(conditional, i)
        )

    def nearest_to_the_truth(self, inpainted: Inpainted) -> list[Gallery]:
        draws, truth = check(inpainted)
        value = design_iou(draws, truth, inpainted.judged)
        what = "IoU of the hidden parts, mean over completions"
        return _best_and_worst("Completions", what, value, True, lambda i: self.completed_card(inpainted, i, value[i]))

    def furthest_from_training(self, samples: NDArray[np.generic]) -> list[Gallery]:
        bits, train = as_bits(samples, "samples"), self.reference.train
        distance = differing_pixels(bits, train)
        row, nearest = distance.argmin(1), distance.min(1)
        near, far = extremes(nearest, highest_first=False)

        def card(i: int) -> Card:
            pictures = self.section("drawn", samples[i]), self.section("nearest training design", train[row[i]])
            return Card(pictures, f"design {i}: {nearest[i]:.0f} px differ")

        return [
            Gallery("Nearest to a training design", "At 0 px it is a copy.", tuple(map(card, near))),
            Gallery("Furthest from every training design", "New, or not of this kind.", tuple(map(card, far))),
        ]

    def sized_card(self, conditional: Designs, i: int) -> Card:
        real, asked = self.reference, conditional.condition[i]
        pictures = [self.section("drawn", conditional.image[i])]
        same = np.flatnonzero((real.test_condition == asked).all(1))
        if len(same):
            pictures.append(self.section("a real one", real.test[same[0]]))
        measured = {m.name: m(as_bits(conditional.image[i : i + 1], "conditional designs"))[0] for m in real.measures}
        said = [f"{m.name} {_asked(m, asked):.4g} asked, {measured[m.name]:.4g} drawn" for m in real.measures]
        beyond = "" if self.within(asked[None])[0] else " (outside the training range)"
        return Card((*pictures,), f"design {i}: {'; '.join(said)}{beyond}")

    def completed_card(self, inpainted: Inpainted, i: int, iou: float) -> Card:
        given, truth, draws = inpainted.mask[i], inpainted.truth[i], inpainted.draws[i]
        levels = 255 if draws.dtype == np.uint8 else 1
        pictures = (
            self.section("given", np.where(given[:, None, None], truth, np.zeros((), truth.dtype))),
            *(self.section(f"draw {k + 1}", draw) for k, draw in enumerate(draws[:EXAMPLES])),
            self.section("majority", draws.mean(0) >= 0.5 * levels),
            self.section("truth", truth),
            Picture("uncertainty", png_of(heat(mirrored(_levels(draws).std(0) / 255, self.mirror)))),
        )
        names, judged = np.array(self.reference.components), inpainted.judged[i]
        lacking = names[~given & ~judged]
        said = f"{', '.join(names[judged])} hidden"
        if len(lacking):
            said += f", {', '.join(lacking)} lacking"
        return Card(pictures, f"design {i}: {said}; IoU {iou:.3f} over {len(draws)} completions")

    def section(self, label: str, image: NDArray[np.generic]) -> Picture:
        return Picture(label, png_of(overlay(mirrored(_levels(image), self.mirror))))

    def sizes(self, condition: Floats) -> str:
        return ", ".join(f"{m.name} {condition[m.column]:.4g}" for m in self.reference.measures)

    def errors(self, conditional: Designs) -> dict[str, Floats]:
        bits = as_bits(conditional.image, "conditional designs")
        return size_errors(bits, conditional.condition, self.reference.measures)

    def within(self, condition: Floats) -> Bits:
        """(N,) whether every size of (N, D) conditions lies in the training range."""
        columns = [m.column for m in self.reference.measures]
        trained = self.reference.train_condition[:, columns]
        return ((condition[:, columns] >= trained.min(0)) & (condition[:, columns] <= trained.max(0))).all(1)


def _best_and_worst(
    title: str, what: str, values: NDArray[np.generic], highest: bool, card: Callable[[int], Card]
) -> list[Gallery]:
    best, worst = extremes(values, highest)
    if values.min() == values.max():
        return [Gallery(f"{title}: all alike", f"By {what}: {values[0]:g} for every one.", tuple(map(card, best)))]
    return [
        Gallery(f"{title}: the best", f"By {what}: {_range(values, best)}.", tuple(map(card, best))),
        Gallery(f"{title}: the worst", f"By {what}: {_range(values, worst)}.", tuple(map(card, worst))),
    ]


def _range(values: NDArray[np.generic], rows: Sequence[int]) -> str:
    return f"{values[rows[0]]:.3g} to {values[rows[-1]]:.3g}" if rows else "none"


def _asked(measure: Measure, condition: Floats) -> float:
    return min(measure.cap, float(condition[measure.column]))


def _levels(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Any kind of image that `as_bits` takes, as 0..255."""
    if image.dtype == np.uint8:
        return image
    return (255 * image.astype(np.float32) + 0.5).astype(np.uint8)


def png_of(pixels: NDArray[np.uint8]) -> bytes:  # (H, W, 3)
    """A small PNG file: at most 192 pixels long, at most 64 colours."""
    image = Image.fromarray(pixels)
    if max(image.size) > _LONGEST:
        image = image.reduce(-(-max(image.size) // _LONGEST))
    file = io.BytesIO()
    image.quantize(_COLOURS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()
