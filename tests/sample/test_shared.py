"""Several processes that draw: the files of one, and what happens where one fails or dies."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = ("--config", "vae_toy_test", "--set", "data.toy.count=240", "--set", "training.epochs=1")
MODES = {
    "unconditional": (),
    "conditional": ("--grid", "width_px=50:61:1,height_px=46:57:1"),
    "inpainting": ("--mask", "0", "--mask", "bt", "--num-posterior-samples", "2", "--keep-draws"),
    "cross-modal": ("--source-component", "group_km", "--num-posterior-samples", "2"),
}


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def command(*argv: object, torchrun: int = 0) -> list[str]:
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(torchrun)] if torchrun else []
    return [sys.executable, *start, "-m", "epurecli", *map(str, argv)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, epure) -> Path:
    """A working folder with one run of a VAE and its graphs."""
    folder = tmp_path_factory.mktemp("trained")
    for argv in (("train", "vae", *CONFIG), ("export", "vae", "--onnx")):
        result = epure(*argv, cwd=folder)
        assert result.code == 0, result.err
    return folder


def run(folder: Path, *argv: object, torchrun: int = 0, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*argv, torchrun=torchrun), cwd=folder, capture_output=True, text=True, timeout=200)
    assert done.returncode == code, done.stderr
    return done


@pytest.mark.parametrize(
    ("mode", "backend", "form"),
    [
        ("unconditional", "torch", "npz"),
        pytest.param("conditional", "onnx", "png", marks=pytest.mark.slow),
        pytest.param("inpainting", "torch", "png", marks=pytest.mark.slow),
        pytest.param("cross-modal", "onnx", "npz", marks=pytest.mark.slow),
        pytest.param("unconditional", "onnx", "png", marks=pytest.mark.slow),
        pytest.param("conditional", "torch", "npz", marks=pytest.mark.slow),
        pytest.param("inpainting", "onnx", "npz", marks=pytest.mark.slow),
        pytest.param("cross-modal", "torch", "png", marks=pytest.mark.slow),
    ],
)
def test_two_processes_write_the_files_of_one(
    mode: str, backend: str, form: str, trained: Path, tmp_path: Path, epure
) -> None:
    argv = ("sample", "vae", "--mode", mode, *MODES[mode], "--num-samples", 130, "--seed", 5, "--grey",
            "--backend", backend, "--format", form)  # fmt: skip
    alone = epure(*argv, "--out", tmp_path / "1", cwd=trained)
    assert alone.code == 0, alone.err
    done = run(trained, *argv, "--devices", 2, "--out", tmp_path / "2")
    assert done.stdout.count("samples: ") == 1
    found = digests(tmp_path / "1")
    assert len(found) > (2 if form == "npz" else 50)
    assert digests(tmp_path / "2") == found
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("count", [pytest.param(n, marks=pytest.mark.slow) for n in (1, 300)])
def test_any_number_of_processes_draws_any_number_of_designs(count: int, trained: Path, tmp_path: Path, epure) -> None:
    argv = ("sample", "vae", "--mode", "unconditional", "--num-samples", count, "--format", "npz")
    assert epure(*argv, "--out", tmp_path / "1", cwd=trained).code == 0
    run(trained, *argv, "--devices", 3, "--out", tmp_path / "3")
    assert digests(tmp_path / "3") == digests(tmp_path / "1")


@pytest.mark.slow
def test_torchrun_may_start_the_processes(trained: Path, tmp_path: Path, epure) -> None:
    argv = ("sample", "vae", "--mode", "unconditional", "--num-samples", 40)
    assert epure(*argv, "--out", tmp_path / "1", cwd=trained).code == 0
    done = run(trained, *argv, "--out", tmp_path / "2", torchrun=2)
    assert done.stdout.count("samples: ") == 1
    assert digests(tmp_path / "2") == digests(tmp_path / "1")


# A process in which something goes wrong after its second block of designs.
FAILING = """
import os, signal
from epurecli.errors import NumericalError
from epurecli.sample import sampler
what, who = os.environ["FAILS"].split()
block = sampler._block
def failing(request, *rest):
    if request.first >= 64 and os.environ.get("LOCAL_RANK", "0") == who:
        if what == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise NumericalError("design 64 is not finite", "train again") if what == "error" else KeyError("a fault")
    return block(request, *rest)
sampler._block = failing
from epurecli.cli import main
main()
"""


@pytest.mark.parametrize("who", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("what", "code", "message"),
    [
        ("error", 5, "error: design 64 is not finite"),
        ("fault", 1, "error: sampling failed in process"),
        ("killed", 1, "sampling ended in process 0 of 2: the connection to another process was lost"),
    ],
)
def test_a_failure_is_told_once_and_leaves_nothing(
    what: str, code: int, message: str, who: int, trained: Path, tmp_path: Path
) -> None:
    if (what, who) == ("killed", 0):
        code, message = -signal.SIGKILL, ""  # nobody is left to tell
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    out = tmp_path / "deep" / "out"
    argv = ("sample", "vae", "--mode", "unconditional", "--num-samples", "4000", "--devices", "2", "--out", str(out))
    start, env = [sys.executable, str(script), *argv], {**os.environ, "FAILS": f"{what} {who}"}
    done = subprocess.run(start, cwd=trained, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == code, done.stderr
    assert message in " ".join(done.stderr.split())
    assert done.stderr.count("error:") == (message != ""), done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
    if message:
        assert sorted(path.name for path in tmp_path.iterdir()) == ["failing.py"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--devices", "none"], "expected a number of processes, or auto"),
        (["--devices", "2", "--mask", "0"], "--mask: only for --mode inpainting"),
        (["--num-nodes", "2"], "the environment names no MASTER_ADDR"),
    ],
)
def test_what_cannot_be_is_said_once(options: list[str], message: str, trained: Path) -> None:
    done = run(trained, "sample", "vae", "--mode", "unconditional", *options, code=2)
    assert message in " ".join(done.stderr.split())
    assert done.stderr.count("error:") == 1


MEETING = """
import torch
from pathlib import Path
from epurecli.ranks import Ranks, connect
ranks = Ranks(connect(2, 1, torch.device("cpu")))
assert ranks.gather(ranks.index) == ([0, 1] if ranks.writes else [])
assert ranks.agree_on(f"from {ranks.index}") == "from 0"
if ranks.writes:
    opened = [path.readlink().name for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/self/net", table).read_text().splitlines()[1:]:
            _, local, _, state, *_, = fields = line.split()
            if f"socket:[{fields[9]}]" in opened:
                print(local.split(":")[0], state)
ranks.wait()
ranks.close(failed=False)
"""


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="reads Linux's table of sockets")
def test_processes_of_one_machine_meet_where_no_other_can_come(tmp_path: Path) -> None:
    """Every connection is of the loopback interface, whatever the machine is called."""
    script = tmp_path / "meeting.py"
    script.write_text(MEETING)
    env = {**os.environ, "MASTER_ADDR": "192.0.2.1"}  # of a network that does not exist
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=100, env=env)
    assert done.returncode == 0, done.stderr
    found = [line.split() for line in done.stdout.splitlines()]
    connected = [address for address, state in found if state in ("01", "0A")]  # or listening
    assert connected
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert set(connected) <= loopback
