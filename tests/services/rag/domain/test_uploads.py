"""File names, size limits and cleanup of uploads."""

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.services.rag.domain.blob_storage import BlobStorage
from backend.services.rag.domain.uploads import sanitize_filename
from backend.services.rag.errors import UploadTooLarge


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("plan.pdf", "plan.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\plan.txt", "plan.txt"),
        ("..", "document"),
        ("", "document"),
        (".pdf", "pdf"),
        ("a\x00b\r\nSet-Cookie: x.txt", "abSet-Cookie: x.txt"),
        ("Übersicht 2024.pdf", "Übersicht 2024.pdf"),
    ],
)
def test_sanitize_filename_returns_safe_basename(filename, expected):
    assert sanitize_filename(filename) == expected


@given(st.text(st.characters(), max_size=400))
def test_sanitize_filename_returns_storable_name_for_any_text(filename):
    name = sanitize_filename(filename)

    assert 0 < len(name.encode()) <= 200
    assert not {"/", "\\", "\x00", "\n"} & set(name)
    assert name not in (".", "..")


def test_unkept_files_are_deleted(tmp_path):
    storage = BlobStorage(tmp_path)
    with storage.receive_files(100, "t") as receiver:
        stored, unkept = receiver.create_file(), receiver.create_file()
        stored.write(b"kept")
        unkept.write(b"unkept")
        receiver.keep_file(stored.blob)

    assert [path.name for path in tmp_path.iterdir()] == [stored.blob]
    assert (tmp_path / stored.blob).read_bytes() == b"kept"


def test_size_limit_applies_to_all_files_of_a_request(tmp_path):
    with BlobStorage(tmp_path).receive_files(10, "t") as receiver:
        receiver.create_file().write(b"123456")
        second = receiver.create_file()
        with pytest.raises(UploadTooLarge):
            second.write(b"789012")


def test_delete_orphans_deletes_only_old_unreferenced_files(tmp_path):
    for name, age in (("known", 9999), ("orphan", 9999), ("arriving", 0)):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (time.time() - age,) * 2)

    BlobStorage(tmp_path).delete_orphans({"known"}, older_than=time.time() - 3600)

    assert {path.name for path in tmp_path.iterdir()} == {"known", "arriving"}
