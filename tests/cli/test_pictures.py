"""The pictures of the README: small, each made by docs/pictures.py, and they can be made again."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import epurecli as epure

SCRIPT = Path(__file__).parents[2] / "docs" / "pictures.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("pictures", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_picture_is_small_and_has_its_function(script) -> None:
    kept = {path.stem: path for path in script.FOLDER.glob("*.png")}
    assert kept.keys() == script.PICTURES.keys()
    for path in kept.values():
        assert path.stat().st_size < script.MOST_BYTES
        with Image.open(path) as image:
            assert image.width >= 800


@pytest.mark.slow
def test_pictures_can_be_made_again(script, run_of, work: Path, tmp_path: Path) -> None:
    run = epure.load(run_of("vae"))
    assert script.sheet(run).width == 1400
    content = script.png(run.test[:8].sheet())
    assert len(content) < script.MOST_BYTES
    command = [sys.executable, SCRIPT, run.path, "sheet", "--out", tmp_path]  # what it draws is noise, and too large
    done = subprocess.run([*map(str, command)], cwd=work, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "make the picture smaller" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_page_is_photographed(script, tmp_path: Path) -> None:
    if not any(map(shutil.which, script.BROWSERS)):
        pytest.skip("no Chromium or Chrome on the path; `apt-get install chromium`")
    page = tmp_path / "page.html"
    page.write_text("<body style='margin:0;background:#0a0'><p style='height:50px;margin:0;background:#a00'></p>")
    shot = script.photograph(page.as_uri(), (300, 200))
    assert shot.size == (300, 200)
    assert (shot.getpixel((150, 25)), shot.getpixel((150, 150))) == ((170, 0, 0), (0, 170, 0))
