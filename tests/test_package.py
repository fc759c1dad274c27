"""What leaves the house: sdist and wheel, built without torch, installed where no compiler and no repository is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VERSION = PYPROJECT["project"]["version"]


def test_building_asks_for_no_torch() -> None:
    assert {name.split(">")[0] for name in PYPROJECT["build-system"]["requires"]} == {"setuptools", "pybind11"}


def test_the_citation_and_the_changelog_are_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()  # what the format demands
    assert citation["version"] == VERSION
    assert citation["license"] == PYPROJECT["project"]["license"]
    for paper in citation["references"]:
        assert {"type", "title", "authors", "year"} <= paper.keys(), paper
        assert all({"family-names", "given-names"} <= author.keys() for author in paper["authors"])
    assert f"## [{VERSION}] - 20" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel without the extension that was built from it. Whoever imports torch
    meanwhile fails."""
    folder = tmp_path_factory.mktemp("package")
    tree = folder / "tree"
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "*.so", "__pycache__", "demo", "outputs")
    shutil.copytree(ROOT, tree, ignore=ignored)
    (folder / "blocked").mkdir()
    (folder / "blocked" / "torch.py").write_text("raise ImportError('the build imports torch')")
    around = os.environ | {"EPURE_NATIVE": "off", "PYTHONPATH": str(folder / "blocked")}
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", tree],
        env=around, cwd=folder, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "dist"


@pytest.mark.slow
def test_the_wheel_is_for_any_machine_and_holds_the_package(built: Path) -> None:
    with zipfile.ZipFile(built / f"epurecli-{VERSION}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
    files = (path for path in (ROOT / "epurecli").rglob("*") if path.is_file())
    package = {path.relative_to(ROOT).as_posix() for path in files if path.suffix not in (".pyc", ".so", ".pyd")}
    configs = {f"epurecli/configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")}
    info = f"epurecli-{VERSION}.dist-info"
    assert {name for name in names if not name.startswith(f"{info}/")} == package | configs  # pages too
    assert f"{info}/licenses/LICENSE" in names


@pytest.mark.slow
def test_the_sdist_holds_what_a_build_reads(built: Path) -> None:
    with tarfile.open(built / f"epurecli-{VERSION}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "pyproject.toml", "csrc/bindings.cpp", "CITATION.cff", "LICENSE", "CHANGELOG.md"} <= names
    assert not [name for name in names if name.startswith("tests/")]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform == "win32", reason="the compiler is hidden by an empty PATH, as POSIX finds it")
@pytest.mark.parametrize("source", ["wheel", "sdist"])
def test_the_four_commands_where_no_compiler_and_no_repository_is(source: str, built: Path, tmp_path: Path) -> None:
    """A fresh environment (torch and the others are lent to it), no compiler on the PATH, an empty folder."""
    home = tmp_path / "home"
    venv.create(home, with_pip=False, symlinks=True)
    site = next(home.glob("lib/python*/site-packages"))
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")  # whose own .pth files are not read
    paths = {"PATH": str(home / "bin"), "HOME": str(tmp_path), "EPURE_CACHE_DIR": str(tmp_path / "cache")}
    around = paths | {"OMP_NUM_THREADS": "1"}
    (package,) = built.glob("*.whl" if source == "wheel" else "*.tar.gz")
    python = home / "bin" / "python"

    def run(*argv: object, cwd: Path = tmp_path) -> str:
        done = subprocess.run([*map(str, argv)], cwd=cwd, env=around, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", package)
    where = run(python, "-c", "import epurecli.gmrf; print(epurecli.__file__, epurecli.gmrf.backend.active())")
    assert where.startswith(str(site))
    assert "the extension is not built" in where
    work = tmp_path / "work"
    work.mkdir()
    epure = home / "bin" / "epure"
    for name in ("vae", "meta_vae", "gmrf_mvae") if source == "wheel" else ("vae",):
        small = ("--config", f"{name}_toy_test", "--set", "data.toy.count=80", "--set")
        epochs = "training.stage1.epochs=1" if name == "meta_vae" else "training.epochs=1"
        assert run(epure, "train", name, *small, epochs, cwd=work).startswith("run: ")
    if source == "sdist":
        return
    assert run(epure, "sample", "meta_vae", "--mode", "inpainting", "--mask", 0, cwd=work).startswith("samples: ")
    assert run(epure, "export", "gmrf_mvae", "--onnx", cwd=work)
    assert "4,213,765" in run(epure, "count-params", cwd=work)
