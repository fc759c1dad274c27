"""SVG, DXF and GeoJSON, parsed back by readers that are not ours."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import ezdxf
import ezdxf.recover
import numpy as np
import pytest
import shapely
from ezdxf.document import Drawing as File
from hypothesis import given, settings
from hypothesis import strategies as st
from sections import Labels, drawn_by_hand, generated

from epurecli.data.toy import COMPONENTS
from epurecli.errors import UsageError
from epurecli.outline import dxf, geojson, svg
from epurecli.outline.drawing import Drawing, Style, draw
from epurecli.pictures.palette import colour, css

SVG = "{http://www.w3.org/2000/svg}"
FACTS = {"model": "vae", "seed": "3", "checkpoint": "outputs/vae/1/best.safetensors", "checkpoint_sha256": "ab" * 32}
MM = Style(scale_mm=3.5)
NASTY = (
    "=1+1",
    '<b> & "x"',
    "a/b\\c:*|",
    "BORDERS",
    "borders",
    "naïve 零",
    "\x1b[31m\ud800",
    "^ \\U+0041 %%d",
    "0",
    " ",
)


def drawing_of(labels: Labels, style: Style = MM, names: tuple[str, ...] = COMPONENTS) -> Drawing:
    return draw(labels, names, "design <1>", style, FACTS)


@pytest.fixture(scope="module")
def hollow() -> Labels:
    """Parts with a hole, in two pieces, of a pixel, and one that is empty."""
    labels = np.zeros((20, 12), np.uint8)
    labels[2:10, 2:10] = 1
    labels[4:7, 4:8] = 2
    labels[5, 5] = 3
    labels[12:18, 8:] = 4
    labels[12:18, 1] = 2
    return labels


def same_region(one: shapely.Geometry, other: shapely.Geometry) -> bool:
    return shapely.symmetric_difference(one, other).area < 1e-6


# --- DXF --------------------------------------------------------------------------------------------------------------


def recovered(text: str) -> File:
    """By ezdxf's second reader, which takes bytes as any program may have left them, and audited without a fault."""
    file, auditor = ezdxf.recover.read(io.BytesIO(text.encode()))
    assert not auditor.errors
    assert not auditor.fixes
    strict = ezdxf.read(io.StringIO(text))
    assert not strict.audit().errors
    return file


def rings(file: File, layer: str) -> list[list[tuple[float, float]]]:
    found = file.modelspace().query(f'LWPOLYLINE[layer=="{layer}"]')
    assert all(line.closed and not any(point[4] for point in line.get_points()) for line in found)  # no bulge
    return [[(x, y) for x, y, *_ in line.get_points()] for line in found]


def region(outlines: list[list[tuple[float, float]]]) -> shapely.Geometry:
    """What closed lines enclose, those within others being holes."""
    whole = shapely.Polygon()
    for ring in outlines:
        whole = shapely.symmetric_difference(whole, shapely.Polygon(ring))
    return whole


@pytest.mark.parametrize("style", [MM, Style(scale_mm=0.2, half=True), Style(scale_mm=3.5, smooth=0)])
def test_dxf(hollow: Labels, style: Style) -> None:
    drawing = drawing_of(hollow, style)
    file = recovered(dxf.document(drawing))
    assert file.acad_release == "R2010"
    assert (file.header["$INSUNITS"], file.header["$MEASUREMENT"]) == (4, 1)
    for c, (name, part) in enumerate(zip(COMPONENTS, drawing.parts, strict=True)):
        assert same_region(region(rings(file, name)), part)
        assert file.layers.get(name).rgb == colour(c)
    (axis,) = file.modelspace().query("LINE")
    assert axis.dxf.layer == "AXIS"
    assert (axis.dxf.start.x, axis.dxf.end.x) == (0, 0)
    assert {entity.dxftype() for entity in file.modelspace()} == {"LWPOLYLINE", "LINE"}


def test_dxf_borders_stand_once(hollow: Labels) -> None:
    drawing = drawing_of(hollow)
    file = recovered(dxf.document(drawing))
    lines = [
        shapely.LinearRing(line.get_points("xy")) if line.closed else shapely.LineString(line.get_points("xy"))
        for line in file.modelspace().query('LWPOLYLINE[layer=="BORDERS"]')
    ]
    once = shapely.union_all(lines)
    assert once.length == pytest.approx(sum(line.length for line in lines))
    assert once.length == pytest.approx(shapely.union_all([part.boundary for part in drawing.parts]).length)


def test_dxf_says_where_it_comes_from(hollow: Labels) -> None:
    file = recovered(dxf.document(drawing_of(hollow)))
    for line in file.modelspace().query('LWPOLYLINE[layer=="bt"]'):
        data = dict(text.split("=", 1) for _, text in line.get_xdata("EPURE"))
        assert data == {"part": "bt", "design": "design <1>", "section": "full", "scale_mm": "3.5", **FACTS}
    assert file.header.custom_vars.get("scale_mm") == "3.5"


def test_dxf_needs_a_scale(hollow: Labels) -> None:
    with pytest.raises(UsageError, match="a DXF is in mm") as error:
        dxf.document(drawing_of(hollow, Style()))
    assert "--scale" in error.value.hint


def test_dxf_of_names_that_it_forbids() -> None:
    labels = np.arange(10, dtype=np.uint8).reshape(1, 10).repeat(2, 0) + 1
    drawing = draw(labels, NASTY, "x\ny", MM, {"a\nb": "c" * 999, "é" * 200: "\x00"})
    file = recovered(dxf.document(drawing))
    layers = dxf.layer_names(NASTY)
    assert len({layer.lower() for layer in (*layers, "0", "BORDERS", "AXIS")}) == len(NASTY) + 3
    for layer, part in zip(layers, drawing.parts, strict=True):
        assert same_region(region(rings(file, layer)), part)


@settings(max_examples=6, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=12), min_size=8, max_size=8, unique=True))
def test_dxf_of_any_names(names: list[str]) -> None:
    labels = np.arange(1, 10, dtype=np.uint8)[None] % 9  # background at the axis
    file = recovered(dxf.document(draw(labels, names, "x", MM)))
    assert [len(rings(file, layer)) for layer in dxf.layer_names(names)] == [2] * 8


# --- SVG --------------------------------------------------------------------------------------------------------------


def path_rings(data: str) -> list[list[tuple[float, float]]]:
    assert re.fullmatch(r"(M[-0-9., ]+Z ?)+", data)
    return [
        [(float(x), -float(y)) for x, y in (pair.split(",") for pair in ring.split())]
        for ring in re.findall(r"M([^Z]+)Z", data)
    ]


@pytest.mark.parametrize("style", [MM, Style(), Style(half=True), Style(scale_mm=0.01)])
def test_svg(hollow: Labels, style: Style) -> None:
    drawing = drawing_of(hollow, style)
    root = ET.fromstring(svg.document(drawing).encode())
    paths = {path.get("data-part"): path for path in root.iter(f"{SVG}path")}
    assert list(paths) == list(COMPONENTS[:4])  # the fifth is empty
    for c, name in enumerate(paths):
        assert same_region(region(path_rings(paths[name].get("d"))), drawing.parts[c])
        assert paths[name].get("fill") == css(colour(c))
        assert paths[name].find(f"{SVG}title").text == name
        assert float(paths[name].get("data-area")) == pytest.approx(drawing.areas[c], rel=1e-5)
    assert root.find(f".//{SVG}g[@class='parts']").get("fill-rule") == "evenodd"
    left, top, width, height = map(float, root.get("viewBox").split())
    x, y = shapely.get_coordinates(drawing.parts).T
    assert left < x.min() < x.max() < left + width
    assert top < -y.max() < -y.min() < top + height
    assert root.get("width").endswith("mm") == (style.scale_mm is not None)
    assert root.find(f"{SVG}title").text == "design <1>"
    assert ("mm a pixel" in root.find(f"{SVG}desc").text) == (style.scale_mm is not None)
    assert "tpc" in root.find(f"{SVG}desc").text


def test_svg_of_nasty_names() -> None:
    labels = np.arange(10, dtype=np.uint8).reshape(1, 10) + 1
    text = svg.document(draw(labels, NASTY, "</title><script>", Style(), {"k": "<!--"}))
    root = ET.fromstring(text.encode())
    assert "<script" not in text
    assert [path.get("data-part") for path in root.iter(f"{SVG}path")][:6] == list(NASTY[:6])


@pytest.mark.slow
def test_no_hairline_between_parts(tmp_path: Path) -> None:
    """Rendered by Chromium: black parts on white paper leave no grey line where they meet."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    text = re.sub(r'(fill|stroke)="#[0-9a-f]{6}"', r'\1="#000000"', svg.document(drawing_of(generated(1)[0], Style())))
    page_file = tmp_path / "section.svg"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium")
        page = browser.new_page(viewport={"width": 560, "height": 560})

        def lightest(document: str) -> int:
            """Within the section: where a disc of four pixels about is all dark but for a line."""
            page_file.write_text(document)
            page.goto(page_file.as_uri())
            page.screenshot(path=tmp_path / "shot.png")
            grey = np.asarray(Image.open(tmp_path / "shot.png").convert("L"), int)
            from scipy import ndimage

            within = ndimage.binary_erosion(ndimage.binary_closing(grey < 128, iterations=3), iterations=4)
            return int(grey[within].max())

        seamless, bare = lightest(text), lightest(re.sub(r"<polyline[^>]*>", "", text))
        browser.close()
    assert bare > 30  # the test sees hairlines
    assert seamless <= 2


# --- GeoJSON ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", [MM, Style(half=True)])
def test_geojson(hollow: Labels, style: Style) -> None:
    drawing = drawing_of(hollow, style)
    text = geojson.document(drawing)
    tree = json.loads(text)
    assert (tree["unit"], tree["scale_mm"]) == (style.unit, style.scale_mm)
    assert tree["empty"] == ["tpc"]
    assert not re.search(r"-0\.0\b", text)
    assert tree["from"] == FACTS
    read = shapely.from_geojson(text).geoms  # GEOS
    assert len(read) == len(tree["features"]) == 4
    for feature, geometry, part, area in zip(tree["features"], read, drawing.parts, drawing.areas, strict=False):
        assert shapely.equals(geometry, part)
        assert feature["properties"][f"area_{style.unit}2"] == pytest.approx(area, rel=1e-5)
        for face in shapely.get_parts(geometry):  # RFC 7946: outer rings counter-clockwise, holes clockwise
            assert face.exterior.is_ccw
            assert not any(hole.is_ccw for hole in face.interiors)


def test_all_formats_of_generated_and_drawn_designs() -> None:
    for labels in (*generated(2), *drawn_by_hand(2)):
        drawing = drawing_of(labels)
        file = recovered(dxf.document(drawing))
        paths = {p.get("data-part"): p.get("d") for p in ET.fromstring(svg.document(drawing)).iter(f"{SVG}path")}
        features = {f["properties"]["part"]: f["geometry"] for f in json.loads(geojson.document(drawing))["features"]}
        for name, part in zip(COMPONENTS, drawing.parts, strict=True):
            assert same_region(region(rings(file, name)), part)
            assert (name in paths) == (name in features) == (not part.is_empty)
            if not part.is_empty:
                assert same_region(region(path_rings(paths[name])), part)
                assert shapely.equals(shapely.geometry.shape(features[name]), part)
