"""File locks and durable writes."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from backend.chassis import files

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.json"


def list_names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_write_file_replaces_content_and_leaves_no_temporary_file(path):
    path.write_text("old")

    files.write_file(path, b"new")

    assert path.read_bytes() == b"new"
    assert list_names(path.parent) == {"state.json"}


def test_write_file_creates_a_private_file(path):
    files.write_file(path, b"secret")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_replace_file_keeps_old_content_after_an_exception(path):
    path.write_text("old")

    def fail_while_writing() -> None:
        with files.replace_file(path) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_while_writing()

    assert path.read_text() == "old"
    assert list_names(path.parent) == {"state.json"}


def test_create_file_raises_when_the_file_exists(path):
    path.write_text("first")

    with pytest.raises(FileExistsError), files.create_file(path) as file:
        file.write(b"second")

    assert path.read_text() == "first"
    assert list_names(path.parent) == {"state.json"}


def test_create_file_shows_the_file_only_when_it_is_complete(path):
    with files.create_file(path) as file:
        file.write(b"content")
        assert not path.exists()

    assert path.read_bytes() == b"content"


def test_content_and_folder_are_synced_around_the_rename(path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append(stat.S_IFMT(
        os.fstat(descriptor).st_mode
    )))  # fmt: skip

    files.write_file(path, b"content")

    assert calls == [stat.S_IFREG, stat.S_IFDIR]


def test_publish_file_replaces_the_target(tmp_path, path):
    draft = tmp_path / "draft"
    draft.write_text("new")
    path.write_text("old")

    files.publish_file(draft, path)

    assert path.read_text() == "new"
    assert not draft.exists()


def test_exclusive_lock_excludes_other_locks(path):
    with files.lock_file(path):
        assert files.is_locked(path)
        for exclusive in (True, False):
            with pytest.raises(files.FileLockedError):
                files.open_locked(path, exclusive=exclusive, blocking=False)

    assert not files.is_locked(path)


def test_shared_locks_exclude_only_an_exclusive_lock(path):
    with files.lock_file(path, exclusive=False):
        with files.lock_file(path, exclusive=False, blocking=False):
            pass
        with pytest.raises(files.FileLockedError):
            files.open_locked(path, blocking=False)


def test_lock_is_released_when_its_process_is_killed(path):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from backend.chassis.files import open_locked\n"
        f"open_locked(Path({str(path)!r})); print('locked', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "locked\n"
        assert files.is_locked(path)
        holder.kill()

    assert not files.is_locked(path)


def test_is_locked_does_not_create_the_file(path):
    assert not files.is_locked(path)
    assert not path.exists()


def test_lock_file_is_not_followed_through_a_symbolic_link(tmp_path, path):
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic link"):
        files.open_locked(path)
