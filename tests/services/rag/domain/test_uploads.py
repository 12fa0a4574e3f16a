"""File names and bytes on their way in."""

import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.services.rag.domain.uploads import Blobs, clean_name
from backend.services.rag.errors import TooLarge


@pytest.mark.parametrize(
    ("sent", "kept"),
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
def test_a_name_is_cleaned(sent, kept):
    assert clean_name(sent) == kept


@settings(deadline=None)
@given(st.text(st.characters(), max_size=400))
def test_any_name_becomes_one_that_can_be_stored_and_shown(sent):
    name = clean_name(sent)

    assert 0 < len(name.encode()) <= 200
    assert not {"/", "\\", "\x00", "\n"} & set(name)
    assert name not in (".", "..")


def test_what_is_not_kept_is_gone(tmp_path):
    blobs = Blobs(tmp_path)
    with blobs.receive(100) as incoming:
        kept, dropped = incoming.open(), incoming.open()
        kept.write(b"kept")
        dropped.write(b"dropped")
        incoming.keep(kept.blob)

    assert [path.name for path in tmp_path.iterdir()] == [kept.blob]
    assert blobs.path(kept.blob).read_bytes() == b"kept"


def test_files_of_one_request_are_counted_together(tmp_path):
    with Blobs(tmp_path).receive(10) as incoming:
        incoming.open().write(b"123456")
        second = incoming.open()
        with pytest.raises(TooLarge):
            second.write(b"789012")


def test_only_old_strays_are_deleted(tmp_path):
    for name, age in (("known", 9999), ("stray", 9999), ("arriving", 0)):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (time.time() - age,) * 2)

    Blobs(tmp_path).delete_strays({"known"}, older_than=time.time() - 3600)

    assert {path.name for path in tmp_path.iterdir()} == {"known", "arriving"}
