"""The build's switches, each in a tree of its own: what was asked for is what is built, or the build stops."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
ASK = "import sys; sys.path.insert(0, 'epurecli/gmrf'); import _epure_native as m; print(m.cuda)"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the build reads."""
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    shutil.copy(ROOT / "setup.py", tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'trial'\nversion = '0'\n")
    (tmp_path / "epurecli" / "gmrf").mkdir(parents=True)
    (tmp_path / "configs").mkdir()
    return tmp_path


def build(tree: Path, *command: str, **switches: str) -> subprocess.CompletedProcess:
    """Build in place, or by another command of setup.py; architectures cut to one, to save time."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("EPURE_")}
    return subprocess.run(
        [sys.executable, "setup.py", *(command or ("build_ext", "--inplace"))],
        cwd=tree,
        env={**clean, "EPURE_CUDA_ARCHS": "80", **switches},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def has_cuda(tree: Path) -> str:
    """Ask the module itself, in a fresh process."""
    done = subprocess.run([sys.executable, "-c", ASK], cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def binaries(tree: Path) -> list[Path]:
    return [p for p in (tree / "epurecli").rglob("_epure_native*") if p.suffix in (".so", ".pyd")]


@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc")
def test_changing_only_the_switch_rebuilds(tree: Path) -> None:
    for switch, answer in (("cuda", "True"), ("cpu", "False"), ("cuda", "True")):
        done = build(tree, EPURE_NATIVE=switch)
        assert done.returncode == 0, done.stderr
        assert has_cuda(tree) == answer


@pytest.mark.parametrize("command", [("build_ext", "--inplace"), ("build",)], ids=["in place", "build"])
def test_off_builds_nothing_and_removes_what_was_there(command: tuple[str, ...], tree: Path) -> None:
    old = tree / "epurecli" / "gmrf" / f"_epure_native{_suffix()}"
    old.write_bytes(b"an old binary")
    done = build(tree, *command, EPURE_NATIVE="off")
    assert done.returncode == 0, done.stderr
    assert binaries(tree) == []


def test_without_a_compiler_it_installs_and_says_what_is_lost(tree: Path) -> None:
    done = build(tree, CC="no-such-compiler", CXX="no-such-compiler")
    assert done.returncode == 0, done.stderr
    assert "the native extension was NOT built" in done.stderr
    assert binaries(tree) == []


def test_without_a_compiler_but_asked_for_it_stops(tree: Path) -> None:
    done = build(tree, CC="no-such-compiler", CXX="no-such-compiler", EPURE_NATIVE="cpu")
    assert done.returncode != 0
    assert "EPURE_NATIVE=cpu was asked for" in done.stderr


def test_cuda_without_nvcc_stops(tree: Path) -> None:
    done = build(tree, EPURE_NATIVE="cuda", CUDA_HOME=str(tree))
    assert done.returncode != 0
    assert "nvcc was not found" in done.stderr


def test_a_misspelt_switch_stops(tree: Path) -> None:
    done = build(tree, EPURE_NATIVE="gpu")
    assert done.returncode != 0
    assert "auto, off, cpu, cuda" in done.stderr


def _suffix() -> str:
    import sysconfig

    return sysconfig.get_config_var("EXT_SUFFIX")
