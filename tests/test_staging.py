"""The staged folder: whole or not there; what killed commands leave; what is never touched."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from epurecli.errors import EpureError, UsageError
from epurecli.files import writing
from epurecli.sample.layout import replaceable
from epurecli.staging import StagedFolder, clear_leftovers, staged

RESULT = {
    "manifest.csv": b"name,model\na,vae\n",
    "contact_sheet.png": b"sheet",
    "samples_00000.npz": b"shard",
    "crown/a_crown.png": b"image",
    "uncertainty/crown/a_crown.png": b"spread",
    "draws/0/crown/a_crown.png": b"draw",
}


def put(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def stage(out: Path, overwrite: bool = False) -> StagedFolder:
    return StagedFolder(out, replaceable(out, overwrite), last="manifest.csv")


@pytest.fixture(params=["beside", "inside"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the hidden folder is; inside is for mounts."""
    if request.param == "inside":
        monkeypatch.setattr(os.path, "ismount", lambda path: True)
    return request.param


@pytest.mark.parametrize("existing", [None, {}, {**RESULT, "crown/old_crown.png": b"old", "belt/old_belt.png": b"old"}])
def test_the_result_appears_whole_and_alone(tmp_path: Path, place: str, existing: dict[str, bytes] | None) -> None:
    out = tmp_path / "new" / "out"
    if existing is not None:
        out.mkdir(parents=True)
        put(out, existing)
    staging = stage(out, overwrite=True)
    folder = staging.open()
    assert folder.parent == (out if place == "inside" and existing is not None else out.parent)
    put(folder, RESULT)
    assert existing is not None or not out.exists()
    staging.commit()
    assert tree(tmp_path / "new") == {f"out/{name}": data for name, data in RESULT.items()}
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["out"]


def test_discarding_removes_only_what_was_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "deep" / "er" / "out", tmp_path / "new" / "out"):
        staging = stage(out)
        put(staging.open(), RESULT)
        if out.parent.name == "new":
            (tmp_path / "new" / "mine.txt").write_bytes(b"mine")
        staging.discard()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "new"]
    assert list((tmp_path / "empty").iterdir()) == []
    assert tree(tmp_path) == {"new/mine.txt": b"mine"}


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    put(tmp_path, {"notes.txt": b"mine"})
    with pytest.raises(UsageError, match="is not empty") as caught:
        stage(tmp_path)
    assert "--overwrite" in caught.value.hint
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="is a file"):
            stage(tmp_path / "notes.txt", overwrite)
    assert tree(tmp_path) == {"notes.txt": b"mine"}


@pytest.mark.parametrize(
    "stranger",
    [
        "notes.txt",
        "a.npz",
        "crown/notes.txt",
        "crown/a_belt.png",
        "draws/0/crown/x.npz",
        "draws/x.png",
        "sub/manifest.csv",
    ],
)
def test_overwrite_touches_nobody_elses_files(tmp_path: Path, stranger: str) -> None:
    files = {**RESULT, stranger: b"mine"}
    put(tmp_path, files)
    with pytest.raises(UsageError, match="cannot be overwritten: it holds") as caught:
        stage(tmp_path, overwrite=True)
    assert str(Path(stranger)) in caught.value.message
    assert tree(tmp_path) == files


@pytest.mark.parametrize("manifest", [{}, {"manifest.csv": b"matching,width_px\na,3\n"}])
def test_overwrite_refuses_a_data_set(tmp_path: Path, manifest: dict[str, bytes]) -> None:
    put(tmp_path, {"crown/a_crown.png": b"data", **manifest})
    with pytest.raises(UsageError, match=r"has no manifest\.csv of an earlier"):
        stage(tmp_path, overwrite=True)


@pytest.mark.parametrize("theirs", ["out", "out/contact_sheet.png"])
def test_a_result_that_cannot_be_moved_is_kept(tmp_path: Path, theirs: str) -> None:
    staging = stage(tmp_path / "out")
    put(staging.open(), RESULT)
    put(tmp_path, {theirs: b"mine"})  # somebody else took the place meanwhile
    with pytest.raises(EpureError, match="out") as caught:
        staging.commit()
    assert str(staging.folder) in caught.value.hint
    assert tree(staging.folder) == RESULT
    assert (tmp_path / theirs).read_bytes() == b"mine"
    clear_leftovers(tmp_path)
    assert tree(staging.folder) == RESULT, "hours of work, cleared by the next command"


def test_what_joined_an_earlier_result_meanwhile_is_kept_with_it(tmp_path: Path, place: str) -> None:
    out = tmp_path / "out"
    put(out, RESULT)
    staging = stage(out, overwrite=True)
    put(staging.open(), {**RESULT, "crown/a_crown.png": b"new"})
    put(out, {"crown/notes.txt": b"mine"})
    with pytest.raises(EpureError, match="filled by something else"):
        staging.commit()
    found = {name: data for name, data in tree(out).items() if not name.startswith(".")}
    assert found == {**RESULT, "crown/notes.txt": b"mine"}


def test_an_earlier_result_survives_a_rename_that_fails(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    put(out, RESULT)
    staging = stage(out, overwrite=True)
    folder = staging.open()
    put(folder, {**RESULT, "crown/a_crown.png": b"new"})
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.is_relative_to(folder):
            raise OSError(errno.EIO, "no such luck")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(EpureError, match="no such luck"):
        staging.commit()
    assert {name: data for name, data in tree(out).items() if not name.startswith(".")} == RESULT
    assert tree(folder)["crown/a_crown.png"] == b"new"


DYING = """
import os, signal, sys
from pathlib import Path
from epurecli import staging
when, out = sys.argv[1], Path(sys.argv[2])
stage = staging.StagedFolder(out, lambda found: None)
folder = stage.open()
(folder / "new.txt").write_bytes(b"new")
if when == "written":
    os.kill(os.getpid(), signal.SIGKILL)
if when == "waiting":
    print("open", flush=True)
    sys.stdin.read()
staging.StagedFolder._check_again = lambda self: os.kill(os.getpid(), signal.SIGKILL)
stage.commit()
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("when", ["written", "moved aside"])
def test_what_a_killed_command_left_is_cleared(tmp_path: Path, run_python, when: str) -> None:
    out = tmp_path / "out"
    put(out, {"old.txt": b"old"})
    put(tmp_path, {".out.partial/mine": b"mine", ".out.0123456789ab.partial/mine": b"mine"})  # no lock: not ours
    mine = {name: data for name, data in tree(tmp_path).items() if name.endswith("mine")}
    assert run_python(DYING, when, str(out)).code == -signal.SIGKILL
    assert out.exists() == (when == "written")
    assert len(list(tmp_path.glob(".out.*.lock"))) == 1
    with staged(tmp_path / "other"):  # another result's business
        assert len(list(tmp_path.glob(".out.*.lock"))) == 1
    StagedFolder(out, lambda found: None)
    assert tree(tmp_path) == {"out/old.txt": b"old", **mine}


def test_what_a_command_at_work_has_is_not_cleared(tmp_path: Path) -> None:
    out = tmp_path / "out"
    other = subprocess.Popen(
        [sys.executable, "-c", DYING, "waiting", str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout.readline() == b"open\n"
        clear_leftovers(tmp_path)
        assert [p.read_bytes() for p in tmp_path.glob(".out.*.partial/new.txt")] == [b"new"]
    finally:
        other.kill()
        other.communicate()
    clear_leftovers(tmp_path)
    assert tree(tmp_path) == {}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    put(tmp_path, {"file": b"mine"})
    with pytest.raises(EpureError, match=r"cannot write .*file"):
        stage(tmp_path / "file" / "out").open()
    assert tree(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize(("code", "hint"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "may write to")])
def test_an_operating_systems_error_names_the_path(tmp_path: Path, code: int, hint: str) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(EpureError, match="no such luck") as caught, writing(path):
        raise OSError(code, "no such luck")
    assert str(path) in caught.value.message
    assert hint in caught.value.hint
