"""The file format of a backup."""

import gzip
import io
import tarfile

import pytest

from backend.operations.backup.format.archive import (
    ArchiveWriter,
    BackupDamaged,
    NotABackup,
    open_archive,
)

NAME = f"rag/blobs/{'a' * 36}/{'b' * 64}"


def write_archive(*members):
    out = io.BytesIO()
    writer = ArchiveWriter(out, 1_700_000_000.5)
    writer.add_json("backup.json", {"what": "test"})
    for name, content in members:
        writer.add_bytes(name, content)
    writer.finish({"rows": {}})
    return out.getvalue()


def read_members(content):
    with open_archive(io.BytesIO(content)) as reader:
        return {member.name: member.read_all() for member in reader.iterate_members()}


def test_reader_returns_members_as_written():
    members = {NAME: b"x" * 1000, "files/mcp.json": b"", "rows/auth/users/00000000": b"[1]\n"}

    assert read_members(write_archive(*members.items())) == members


def test_archive_is_a_gzipped_tar_of_regular_files():
    with tarfile.open(fileobj=io.BytesIO(write_archive((NAME, b"text")))) as tar:
        assert tar.getnames() == ["backup.json", NAME, "end.json"]
        assert {(m.type, m.mode, m.mtime) for m in tar} == {(tarfile.REGTYPE, 0o600, 1_700_000_000)}


def test_reader_accepts_archive_without_padding_to_tar_records():
    """Releases up to 0.1.0 end an archive with two zero blocks only."""
    raw = gzip.decompress(write_archive((NAME, b"text")))
    end = len(raw.rstrip(b"\0"))
    end += -end % 512

    assert read_members(gzip.compress(raw[:end] + bytes(1024))) == {NAME: b"text"}


def test_reader_rejects_extension_headers_without_reading_them():
    """TarFile would read the declared 4 GB of a pax header into memory."""
    raw = gzip.decompress(write_archive())
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 2**32
    content = gzip.compress(raw[:1024] + header.tobuf() + bytes(10**6))

    with pytest.raises(NotABackup, match="it contains 'pax'"):
        read_members(content)


def test_reader_rejects_archive_with_a_changed_header():
    raw = bytearray(gzip.decompress(write_archive((NAME, b"text"))))
    raw[1024 + 300] ^= 1

    with pytest.raises(BackupDamaged):
        read_members(gzip.compress(bytes(raw)))


def test_writer_rejects_invalid_member_names():
    writer = ArchiveWriter(io.BytesIO(), 0)

    for name in ("../outside", "/etc/passwd", "", "a//b", ".hidden"):
        with pytest.raises(ValueError, match="not a valid member name"):
            writer.add_bytes(name, b"")


def test_add_file_raises_os_error_when_file_is_shorter_than_declared():
    writer = ArchiveWriter(io.BytesIO(), 0)

    with pytest.raises(OSError, match="became shorter"):
        writer.add_file("files/log", 10, io.BytesIO(b"nine byte"))
