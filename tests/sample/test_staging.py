from __future__ import annotations

import errno
from pathlib import Path

import pytest

from epurecli.errors import EpureError, UsageError
from epurecli.sample.staging import Staging, writing

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


@pytest.mark.parametrize("existing", [None, {}, {**RESULT, "crown/old_crown.png": b"old", "belt/old_belt.png": b"old"}])
def test_the_result_appears_whole_and_alone(tmp_path: Path, existing: dict[str, bytes] | None) -> None:
    out = tmp_path / "new" / "out"
    if existing is not None:
        out.mkdir(parents=True)
        put(out, existing)
    staging = Staging(out, overwrite=True)
    put(staging.open(), RESULT)
    assert existing is not None or not out.exists()
    staging.commit()
    assert tree(tmp_path / "new") == {f"out/{name}": data for name, data in RESULT.items()}


def test_discarding_removes_only_what_was_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "deep" / "er" / "out", tmp_path / "new" / "out"):
        staging = Staging(out, overwrite=False)
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
        Staging(tmp_path, overwrite=False)
    assert "--overwrite" in caught.value.hint
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="is a file"):
            Staging(tmp_path / "notes.txt", overwrite=overwrite)
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
        Staging(tmp_path, overwrite=True)
    assert str(Path(stranger)) in caught.value.message
    assert tree(tmp_path) == files


@pytest.mark.parametrize("manifest", [{}, {"manifest.csv": b"matching,width_px\na,3\n"}])
def test_overwrite_refuses_a_data_set(tmp_path: Path, manifest: dict[str, bytes]) -> None:
    put(tmp_path, {"crown/a_crown.png": b"data", **manifest})
    with pytest.raises(UsageError, match=r"has no manifest\.csv of an earlier"):
        Staging(tmp_path, overwrite=True)


@pytest.mark.parametrize("theirs", ["out", "out/contact_sheet.png"])
def test_a_result_that_cannot_be_moved_is_kept(tmp_path: Path, theirs: str) -> None:
    staging = Staging(tmp_path / "out", overwrite=False)
    put(staging.open(), RESULT)
    put(tmp_path, {theirs: b"mine"})  # somebody else took the place meanwhile
    with pytest.raises(EpureError, match="out") as caught:
        staging.commit()
    assert str(staging.folder) in caught.value.hint
    assert tree(staging.folder) == RESULT
    assert (tmp_path / theirs).read_bytes() == b"mine"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    put(tmp_path, {"file": b"mine"})
    with pytest.raises(EpureError, match=r"cannot write .*file"):
        Staging(tmp_path / "file" / "out", overwrite=False).open()
    assert tree(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize(("code", "hint"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "may write to")])
def test_an_operating_systems_error_names_the_path(tmp_path: Path, code: int, hint: str) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(EpureError, match="no such luck") as caught, writing(path):
        raise OSError(code, "no such luck")
    assert str(path) in caught.value.message
    assert hint in caught.value.hint
