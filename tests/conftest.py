"""What all tests share: a cache of their own, one thread, and commands run in this process or another."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # `throwaway`, two models that are never shipped
ENTRY = "from epurecli.cli import main; main()"

Call = Callable[..., "Result"]


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def _own_cache_one_thread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's cache stays as it is. One thread: two on cores shared with others wait for each other, 10x slower."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EPURE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="session")
def run_python() -> Call:
    """Run Python code in a process of its own: `run_python(code, *argv, cwd=...)`."""

    def run(code: str, *argv: str, cwd: Path | None = None) -> Result:
        done = subprocess.run([sys.executable, "-c", code, *argv], cwd=cwd, capture_output=True, text=True, timeout=120)
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def epure_process(run_python: Call) -> Call:
    """The `epure` command through its entry point, in a process of its own: `epure_process(*argv, cwd=...)`."""
    return lambda *argv, cwd=None: run_python(ENTRY, *map(str, argv), cwd=cwd)


@pytest.fixture(scope="session")
def epure() -> Call:
    """The `epure` command through its entry point, in this process: `epure(*argv, cwd=...)`. Torch is imported once."""
    from epurecli.cli import main
    from epurecli.cli.app import app
    from epurecli.cli.console import Settings

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*argv: object, cwd: Path | None = None) -> Result:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "argv", ["epure", *map(str, argv)])
            if cwd is not None:
                patch.chdir(cwd)
            try:
                main()
                code = 0
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
            finally:
                Settings.quiet = False
                app.registered_commands.clear()  # main() registers them; a process calls it once
                app.registered_groups.clear()
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        return Result(code, out.getvalue(), err.getvalue())

    return run
