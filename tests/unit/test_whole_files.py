"""Files written whole or not at all: links, failures, Ctrl-C, what is no regular file."""

import os
from pathlib import Path

import pytest

from wavecore.common.files import file_errors, staged_file, staged_folder, staged_text, writable_file, write_file
from wavecore.errors import FileError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_staged_file_takes_its_place_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "table.npz"
    path.write_text("old")
    with staged_file(path) as staged:
        assert (staged.parent, staged.suffix, staged.name[0]) == (tmp_path, ".npz", ".")
        staged.write_bytes(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["table.npz"]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), staged_text(path) as stream:
        stream.write("half")
        raise error
    with pytest.raises(error), staged_folder(tmp_path / "run", ("a", "b")) as (staging, _):
        (staging / "a").write_text("half")
        raise error
    assert names(tmp_path) == ["a.txt"]
    assert path.read_text() == "old"


def test_texts_are_the_same_on_every_system(tmp_path: Path) -> None:
    write_file(tmp_path / "a", "é\n")
    assert (tmp_path / "a").read_bytes() == "é\n".encode()


def test_a_link_names_the_file_that_is_written(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "file")
    write_file(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "file").read_text() == "text"
    assert names(tmp_path / "elsewhere") == ["file"]


def test_what_is_no_regular_file_is_refused_and_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, what, hint in (
        (tmp_path, "is a folder, not a file", "the path of a file in it"),
        (tmp_path / "pipe", "is not a regular file", "another path"),
    ):
        with pytest.raises(FileError) as caught:
            writable_file(path, replace=True)
        assert caught.value.message == f"{path}: {what}; try: {hint}"
        with pytest.raises(FileError) as caught:
            write_file(path, "x", hint="another path")
        assert caught.value.message == f"{path}: {what}; try: another path"
    assert (tmp_path / "pipe").is_fifo()


def test_what_the_system_says_names_the_path_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "no" / "a"
    with pytest.raises(FileError) as caught:
        write_file(path, "x")
    said = f"{path}: cannot be written (No such file or directory); try: a folder that you may write to"
    assert caught.value.message == said
    with pytest.raises(FileError) as caught, file_errors(path, hint="this"):
        raise OSError("said without a number")
    assert caught.value.message == f"{path}: cannot be written (said without a number); try: this"


def test_a_folder_is_published_with_its_last_file_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ("a", "b", "sign")
    for name in files:
        (tmp_path / name).write_text("old")
    moved: list[str] = []
    replace = Path.replace

    def noted(self: Path, target: Path) -> Path:
        assert not (tmp_path / "sign").exists()
        moved.append(target.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", noted)
    with staged_folder(tmp_path, files, replace=True) as (staging, publish):
        (staging / "a").write_text("new")
        (staging / "sign").write_text("new")
        publish()
    assert moved == ["a", "sign"]
    assert names(tmp_path) == ["a", "sign"]
