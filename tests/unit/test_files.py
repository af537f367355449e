"""Files on disk: what is written whole, locked, compared and named."""

import multiprocessing
import sys
from pathlib import Path

import pytest

from stsr_cli import files
from stsr_cli.errors import UsageError
from stsr_cli.files import FileLock, check_name, place_of, same_file
from stsr_cli.text import command_line, split_command


def _held(path):
    """Whether another process holds the lock."""
    try:
        FileLock(path).release()
    except BlockingIOError:
        return True
    return False


def test_a_lock_is_held_by_one_process_until_it_is_released(tmp_path):
    path = tmp_path / "lock"
    with multiprocessing.get_context("spawn").Pool(1) as other:
        lock = FileLock(path)
        assert other.apply(_held, (path,))
        lock.release()
        assert not other.apply(_held, (path,))
        with FileLock(path):
            assert other.apply(_held, (path,))
        lock = FileLock(path)
        lock.release(remove=True)
        lock.release(remove=True)
        assert not path.exists()
        assert not other.apply(_held, (path,))


@pytest.mark.posix
def test_a_lock_whose_file_was_removed_by_its_owner_is_taken_anew(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    lock, attempts = files._lock, []

    def remove_first(descriptor, *, wait):
        lock(descriptor, wait=wait)
        attempts.append(descriptor)
        if len(attempts) == 1:
            path.unlink()

    monkeypatch.setattr(files, "_lock", remove_first)
    with FileLock(path):
        assert len(attempts) == 2
        assert path.exists()


def test_write_atomically_leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_atomically(path, b"old")
    monkeypatch.setattr(
        files, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13, "open"))
    )
    with pytest.raises(files.StsrError, match="open"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.posix
def test_paths_of_one_file_are_told_from_others(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "x"
    file.touch()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert same_file(file, tmp_path / "link" / "x")
    assert same_file(tmp_path / "a" / "new", tmp_path / "link" / "new")
    assert not same_file(file, tmp_path / "a" / "y")
    for platform, is_same in {"linux": False, "darwin": True, "win32": True}.items():
        monkeypatch.setattr(sys, "platform", platform)
        assert (place_of(tmp_path / "New.MP4") == place_of(tmp_path / "new.mp4")) is is_same


@pytest.mark.parametrize(
    "name",
    [
        *(
            "nul",
            "NUL.mp4",
            "a/con.png",
            "com1",
            "LPT9.mkv",
            "com\N{SUPERSCRIPT ONE}.mov",
            "aux .mp4",
        ),
        *(
            "a:b.mp4",
            "what?.mp4",
            "<x>.mkv",
            "x|y",
            'say "x".mp4',
            "a\tb",
            "x.",
            "x ",
            "dir./x.mp4",
        ),
    ],
)
@pytest.mark.posix
def test_windows_writes_no_file_of_a_name_that_means_something_else(name, monkeypatch):
    check_name(Path(name))  # elsewhere it may be called anything
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UsageError, match="Windows"):
        check_name(Path(name))


@pytest.mark.parametrize(
    "name", ["null.mp4", "../x.mp4", "./con_1.mp4", "com10.mp4", "a.b.mkv", ".hidden", "50%.mp4"]
)
@pytest.mark.posix
def test_windows_writes_files_of_ordinary_names(name, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    check_name(Path(name))


# What PowerShell or cmd make of it, then the C library: quotes gone, a doubled backslash before a quote single.
@pytest.mark.parametrize(
    ("words", "typed"),
    [
        (["stsr", "upscale", r"C:\a\b.mp4", "--crf", "18"], r"stsr upscale C:\a\b.mp4 --crf 18"),
        (["stsr", r"C:\My Clips\b.mp4"], r'stsr "C:\My Clips\b.mp4"'),
        (["stsr", "C:\\My Clips\\"], 'stsr "C:\\My Clips\\\\"'),
        (["stsr", "it's", "a&b", "{stem}{ext}"], 'stsr "it\'s" "a&b" "{stem}{ext}"'),
        (["stsr", "1,2", ""], 'stsr "1,2" ""'),
        (["stsr", "a $5 it's"], "stsr 'a $5 it''s'"),
        (["stsr", 'x "y"'], r'stsr "x \"y\""'),
    ],
)
@pytest.mark.posix
def test_a_command_for_windows_is_quoted_as_its_shells_want_it(words, typed, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert command_line(words) == typed


@pytest.mark.posix
def test_a_command_is_read_as_it_was_typed(monkeypatch):
    assert split_command(r"""a "b c" 'd "e' f\ g""") == ["a", "b c", 'd "e', "f g"]
    assert command_line(["a", "b c", "it's"]) == """a 'b c' 'it'"'"'s'"""
    monkeypatch.setattr(sys, "platform", "win32")
    assert split_command(r'C:\x\y.exe "C:\My Clips\{in}" {out} # 1') == [
        *(r"C:\x\y.exe", r"C:\My Clips\{in}", "{out}", "#", "1")
    ]
