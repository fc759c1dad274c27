"""What all tests share: a cache of their own, one thread, commands run in this process or another, and a browser."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

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


CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)


@dataclass(frozen=True)
class Heard:
    """What the pages of a test said: faults (console errors and warnings, exceptions), and addresses asked for."""

    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium. A module's own: while Playwright runs, nothing else may run an event loop."""
    if CHROMIUM is None:
        pytest.skip("no Chromium or Chrome on the path; `apt-get install chromium`")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-background-networking"]
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def new_page(browser: Browser, heard: Heard) -> Iterator[Callable[..., Page]]:
    """A page in a profile of its own: `new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")`.

    The test fails where a page says a fault; one that provokes a fault takes it out of `heard.faults`.
    """
    contexts = []

    def make(**settings: Any) -> Page:
        contexts.append(browser.new_context(**settings))
        contexts[-1].set_default_timeout(10_000)
        page = contexts[-1].new_page()
        page.on("console", lambda said: said.type in ("error", "warning") and heard.faults.append(said.text))
        page.on("pageerror", lambda error: heard.faults.append(str(error)))
        page.on("request", lambda request: heard.requests.append(request.url))
        return page

    yield make
    for context in contexts:
        context.close()
    assert not heard.faults


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    """One such page."""
    return new_page()
