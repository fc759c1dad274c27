"""`epure studio` through its entry point, and `epure.studio(run)`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

import epurecli
from epurecli.api.run import Run


@pytest.mark.slow
def test_it_says_where_it_is_and_ends_with_ctrl_c(run: Run, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "epurecli", "studio", str(run.path), "--no-browser"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.fullmatch(r"studio: http://127\.0\.0\.1:(\d+)(/\?token=\S+)\n", process.stdout.readline())
        assert found is not None
        connection = HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
        connection.request("GET", found[2])
        assert connection.getresponse().status == 303
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert out == ""
    assert f"ssh -L {found[1]}:127.0.0.1:{found[1]}" in err
    assert "go on with: epure studio" in err
    assert "Traceback" not in err
    assert not (tmp_path / "studio" / ".vae.lock").exists()


def test_without_a_run_nothing_starts(epure: Callable[..., Any], tmp_path: Path) -> None:
    result = epure("studio", cwd=tmp_path)
    assert result.code == 4
    assert "epure train" in result.err
    assert not os.listdir(tmp_path)  # noqa: PTH208


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 4, "no such run"),
        (["RUN", "--session", "../x"], 2, "--session '../x'"),
        (["RUN", "--port", "70000"], 2, "65535"),
    ],
)
def test_what_is_refused(
    epure: Callable[..., Any], tmp_path: Path, run: Run, arguments: list[str], code: int, said: str
) -> None:
    result = epure("studio", *[str(run.path) if a == "RUN" else a for a in arguments], cwd=tmp_path)
    assert result.code == code
    assert said in result.err
    assert not list(tmp_path.glob("studio/*.json"))


def test_the_newest_run_is_taken(home: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    from epurecli.cli.studio import _newest

    monkeypatch.chdir(home)
    assert Path(_newest()).resolve() == run.path.resolve()


def test_a_notebook_shows_a_frame_that_may_be_framed(run: Run, tmp_path: Path) -> None:
    frame = epurecli.studio(run, folder=tmp_path, height=700)
    try:
        html = frame._repr_html_()
        assert re.search(r'<iframe src="http://localhost:\d+/\?token=[\w-]+" width="100%" height="700"', html)
        assert "http://localhost" in repr(frame)
        connection = HTTPConnection("localhost", frame._server.port, timeout=10)
        connection.request("GET", frame.address.partition(str(frame._server.port))[2])
        cookie = str(connection.getresponse().headers["Set-Cookie"]).partition(";")[0]
        connection = HTTPConnection("localhost", frame._server.port, timeout=10)
        connection.request("GET", "/", headers={"Cookie": cookie})
        policy = connection.getresponse().headers["Content-Security-Policy"]
        assert "frame-ancestors http://127.0.0.1:* http://localhost:*" in policy
    finally:
        frame.close()
    assert callable(epurecli.studio)
    assert "studio" in dir(epurecli)
