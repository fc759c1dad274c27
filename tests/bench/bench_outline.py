"""How true and how fast outlines are.

    python tests/bench/bench_outline.py [--offset 300] [--generated 1000] [--drawn 500] [--samples FOLDER]

First a table: staircase, marching squares (vertices in the middle of the cracks) and ours, on sections of the toy
generator, against its own smooth borders, sampled 8 times finer. Offset: mean distance of points on the outline to the
fine borders, and of the fine borders to the outline, in pixels. Turning: sum of a section's changes of direction.

Then one JSON line per kind of design (the toy generator's, drawn by hand, those of a folder of samples): in how many
coverage is valid, pixels are drawn back, the area of the full section is within 0.1 %, and ezdxf's second reader and
its audit find nothing to say and as many lines as there should be.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

import ezdxf  # noqa: E402
import ezdxf.recover  # noqa: E402
import numpy as np  # noqa: E402
import shapely  # noqa: E402
from sections import Labels, drawn_back, drawn_by_hand, finely_generated, generated, mirrored, offset, true_borders  # noqa: E402

from epurecli.data.toy import COMPONENTS  # noqa: E402
from epurecli.outline import dxf, geojson, svg  # noqa: E402
from epurecli.outline.drawing import Drawing, Style, draw  # noqa: E402

METHODS = {
    "pixel staircase": Style(half=True, smooth=0),
    "marching squares": Style(half=True, smooth=1e-9),
    "ours": Style(half=True),
}
FINER = 8
MM = Style(scale_mm=3.5)


def turning(line: np.ndarray) -> float:
    angle = np.arctan2(*np.diff(line, axis=0).T[::-1])
    return float(np.abs((np.diff(angle) + np.pi) % (2 * np.pi) - np.pi).sum())


def compare(count: int) -> None:
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in METHODS}
    for labels, fine in zip(generated(count), finely_generated(count, FINER), strict=True):
        truth = true_borders(labels, fine)
        true_area = np.bincount(fine.ravel(), minlength=6)[1:] / FINER**2
        for name, style in METHODS.items():
            start = time.perf_counter()
            drawing = draw(labels, COMPONENTS, "", style)
            took = time.perf_counter() - start
            lines = [line.points for line in drawing.borders]
            off = np.abs(np.array(drawing.areas) / true_area - 1)
            rows[name].append(
                (
                    offset(lines, truth),
                    offset(truth, lines),
                    100 * off.mean(),
                    float((drawn_back(drawing, labels.shape) != labels).sum()),
                    float(shapely.get_num_coordinates(drawing.parts).sum()),
                    sum(map(turning, lines)),
                    float(shapely.coverage_is_valid(drawing.parts)),
                    1000 * took,
                )
            )
    heads = ("offset", "back", "area %", "pixels", "vertices", "turning", "valid", "ms")
    print(f"{'half sections: ' + str(count):<22}" + "".join(f"{head:>10}" for head in heads))
    for name, found in rows.items():
        print(f"{name:<22}" + "".join(f"{value:>10.3f}" for value in np.mean(found, 0)))


def judge(kind: str, designs: Iterator[Labels]) -> None:
    valid = back = area = audit = vertices = count = 0
    worst, took = 0.0, []
    for labels in designs:
        start = time.perf_counter()
        drawing = draw(labels, COMPONENTS, f"{kind} {count}", MM)
        drawn = time.perf_counter()
        texts = [write(drawing) for write in (svg.document, geojson.document, dxf.document)]
        took.append((drawn - start, time.perf_counter() - start))
        full = mirrored(labels)
        valid += int(shapely.coverage_is_valid(drawing.parts))
        back += int((drawn_back(drawing, full.shape) == full).all())
        off = abs(sum(drawing.areas) / max((full > 0).sum() * MM.pixel**2, 1e-9) - 1) if full.any() else 0.0
        worst, area = max(worst, off), area + int(off <= 1e-3)
        file, auditor = ezdxf.recover.read(io.BytesIO(texts[2].encode()))
        clean = not auditor.errors and not auditor.fixes
        audit += int(clean and len(file.modelspace()) == expected(drawing))
        vertices += int(shapely.get_num_coordinates(drawing.parts).sum())
        count += 1
    line = {
        "designs": kind,
        "count": count,
        "coverage valid": valid,
        "drawn back": back,
        "area within 0.1 %": area,
        "largest area error": float(f"{worst:.1e}"),
        "DXF audit clean": audit,
        "vertices": round(vertices / count),
        "ms": {"outline": per_design(took, 0), "and all three formats": per_design(took, 1)},
    }
    print(json.dumps(line), flush=True)


def expected(drawing: Drawing) -> int:
    """Entities: rings of the parts, borders, the axis."""
    rings = sum(1 + len(face.interiors) for part in drawing.parts for face in part.geoms)
    return rings + len(drawing.borders) + 1


def per_design(took: list[tuple[float, float]], which: int) -> dict[str, float]:
    times = 1000 * np.array(took)[:, which]
    return {"median": round(float(np.median(times)), 1), "95 %": round(float(np.quantile(times, 0.95)), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--offset", type=int, default=300)
    parser.add_argument("--generated", type=int, default=1000)
    parser.add_argument("--drawn", type=int, default=500)
    parser.add_argument("--samples", type=Path)
    asked = parser.parse_args()
    if asked.offset:
        compare(asked.offset)
    if asked.generated:
        judge("generated", iter(generated(asked.generated)))
    if asked.drawn:
        judge("drawn by hand", iter(drawn_by_hand(asked.drawn)))
    if asked.samples:
        import epurecli as epure

        judge("sampled", iter(epure.read(asked.samples).labels))


if __name__ == "__main__":
    main()
