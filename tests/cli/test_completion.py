"""What Tab offers: in a real bash after `--install-completion`, and nothing at all where something is wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from epurecli.config import shipped
from epurecli.models.registry import REGISTRY

HEAVY = ("torch", "onnx", "onnxruntime", "numpy", "pandas", "scipy", "matplotlib", "safetensors", "PIL")


@pytest.fixture
def offered(epure, monkeypatch: pytest.MonkeyPatch):
    """What bash is offered for the last word, by the protocol of its completion script."""

    def complete(*words: str, cwd: Path) -> list[str]:
        monkeypatch.setenv("_EPURE_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "\n".join(("epure", *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        result = epure(cwd=cwd)
        monkeypatch.delenv("_EPURE_COMPLETE")
        assert (result.code, result.err) == (0, ""), result.err
        return result.out.split()

    return complete


def test_names_of_models_and_configs(offered, tmp_path: Path) -> None:
    assert offered("train", "", cwd=tmp_path) == sorted(REGISTRY)
    assert offered("train", "mm", cwd=tmp_path) == ["mmvaeplus"]
    assert offered("train", "vae", "--config", "", cwd=tmp_path) == sorted(n for n in shipped() if n.startswith("vae_"))
    assert offered("config", "diff", "vae_toy", "mdm_toy_", cwd=tmp_path) == ["mdm_toy_perf", "mdm_toy_test"]
    assert offered("config", "schema", "gm", cwd=tmp_path) == ["gmrf_mvae"]
    assert offered("compare", "vae", "mdm", "vq", cwd=tmp_path) == ["vqvae"]


def test_runs_and_what_they_know(offered, work: Path, run_of) -> None:
    run = run_of("vae").relative_to(work).as_posix()
    assert offered("sample", "vae", "--checkpoint", "", cwd=work) == [run]
    assert offered("sample", "vae", "--checkpoint", "outputs/gm", cwd=work) == []
    assert offered("evaluate", "vae", "--checkpoint", "", cwd=work) == [run]
    assert offered("train", "vae", "--resume", "outputs", cwd=work) == [run]
    assert offered("card", "outputs/vae", cwd=work) == [run]
    assert offered("design", "vae", "--checkpoint", "", cwd=work) == [run]
    assert offered("design", "vae", "--fix", "t", cwd=work) == ["tpc"]
    assert offered("sample", "vae", "--mask", "group", cwd=work) == ["group_km", "group_nc"]
    assert offered("sample", "vae", "--mask", "bt", "--source-component", "f", cwd=work) == ["fpu"]
    low, high = offered("sample", "vae", "--checkpoint", run, "--set-condition", "wi", cwd=work)
    assert all(end.startswith("width_px=") for end in (low, high))
    assert float(low.partition("=")[2]) != float(high.partition("=")[2])


def test_names_that_a_shell_would_obey_are_not_offered(offered, tmp_path: Path) -> None:
    run = tmp_path / "outputs" / "vae" / "run"
    run.mkdir(parents=True)
    names = '["good", "gü-1", "two words", "$(reboot)", "a;b", "`b`", "-rf", "c\\nd", "\\u001b[2J", "*"]'
    (run / "run.json").write_text(f'{{"created": "", "components": {names}}}', encoding="utf-8")
    assert offered("sample", "vae", "--mask", "", cwd=tmp_path) == ["good", "gü-1"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"components": 3}', "[" * 100_000, " " * 2_000_000, "\udcff"])
def test_a_damaged_run_offers_nothing(text: str, offered, tmp_path: Path) -> None:
    run = tmp_path / "outputs" / "vae" / "run"
    run.mkdir(parents=True)
    (run / "run.json").write_bytes(text.encode(errors="surrogateescape"))
    assert offered("sample", "vae", "--mask", "", cwd=tmp_path) == []
    assert offered("sample", "vae", "--set-condition", "", cwd=tmp_path) == []
    assert offered("sample", "vae", "--mask", "", cwd=run) == []  # where there are no runs


def test_completing_imports_nothing_heavy(run_python, work: Path) -> None:
    code = (
        "import os, sys\n"
        "words = {'COMP_WORDS': 'epure sample vae --mask ', 'COMP_CWORD': '4'}\n"
        "os.environ |= {'_EPURE_COMPLETE': 'complete_bash', **words}\n"
        "from epurecli.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n"
        f"    print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    result = run_python(code, cwd=work)
    assert result.out.splitlines() == ["bt", "fpu", "group_km", "group_nc", "tpc", "[]"], result.err


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_after_install_completion(work: Path, tmp_path: Path) -> None:
    """Installed into a home of its own by the command, read by a new bash as its user would have it."""
    bin_ = Path(sys.executable).parent
    assert (bin_ / "epure").is_file(), "epure is not installed here: pip install -e '.[test]'"
    around = os.environ | {"HOME": str(tmp_path), "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}"}

    def bash(script: str) -> str:
        done = subprocess.run(
            ["bash", "--norc", "-c", script], env=around, cwd=work, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    bash("epure --install-completion; exit $?")  # the shell is found by asking who the parent is
    said = bash(
        'source ~/.bashrc\ncomplete -p epure\n'
        'press() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _epure_completion epure; echo "${COMPREPLY[*]}"; }\n'
        'press epure tra; press epure sample ""; press epure sample vae --mask g'
    )  # fmt: skip
    assert said.splitlines() == [
        "complete -o default -F _epure_completion epure",
        "train",
        " ".join(sorted(REGISTRY)),
        "group_km group_nc",
    ]
