"""The format of encrypted files: any position can be read, and every change is noticed."""

import io
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.chassis.data_encryption import files
from backend.chassis.data_encryption.data_key import DataKey
from backend.chassis.data_encryption.files import (
    FileEncryption,
    SealedReader,
    SealingWriter,
    delete_clear_copy,
)
from backend.chassis.encryption import DamagedValue

KEY = DataKey("key_" + "a" * 24, "tenant", bytes(range(32)))
CHUNK = 65536


class Keys:
    def get_key(self, key_id):
        if key_id != KEY.id:
            raise DamagedValue(key_id)
        return KEY

    def get_current_key(self, tenant_id, session=None):
        return KEY


def seal(content, context="file", part=10_000):
    file = io.BytesIO()
    writer = SealingWriter(file, KEY, context)
    for start in range(0, len(content), part):
        writer.write(content[start : start + part])
    writer.finish()
    return file.getvalue()


def read(sealed, context="file"):
    return SealedReader(io.BytesIO(sealed), Keys(), context)


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 150_000])
@pytest.mark.parametrize("part", [7001, CHUNK, 10**6])
def test_content_is_read_back(size, part):
    content = os.urandom(size)
    reader = read(seal(content, part=part))

    assert reader.size == size
    assert reader.readall() == content
    reader.verify()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 150_010), st.integers(0, 70_000))
def test_any_range_is_read(start, length):
    content = b"".join(number.to_bytes(3, "big") for number in range(50_000))
    reader = io.BufferedReader(read(seal(content)))

    reader.seek(start)

    assert reader.read(length) == content[start : start + length]


def change_byte(content, position):
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


def list_damaged_files():
    """Yield files of three chunks and a bit that were changed in one way each."""
    sealed = seal(os.urandom(3 * CHUNK + 5))
    header = len(seal(b"")) - 16
    chunk = CHUNK + 16
    first = sealed[header : header + chunk]
    second = sealed[header + chunk : header + 2 * chunk]
    yield from {
        "cut in the last chunk": sealed[:-1],
        "without the last chunk": sealed[: header + 3 * chunk],
        "exchanged chunks": sealed[:header] + second + first + sealed[header + 2 * chunk :],
        "repeated chunk": sealed[:header] + first + first + sealed[header + 2 * chunk :],
        # Changed bits, because a random byte can already have any given value.
        "other salt": change_byte(sealed, header - 10),
        "other nonce prefix": change_byte(sealed, header - 1),
        "other content": change_byte(sealed, header + 100),
        "more at the end": sealed + b"x",
        "header only": sealed[:header],
        "half a header": sealed[: header // 2],
        "empty": b"",
        "other data key": sealed[:15] + b"x" + sealed[16:],
    }.items()


@pytest.mark.parametrize(
    "damaged", [pytest.param(file, id=name) for name, file in list_damaged_files()]
)
def test_change_is_noticed(damaged):
    with pytest.raises(DamagedValue):
        read(damaged).verify()


def test_content_of_another_file_is_rejected():
    with pytest.raises(DamagedValue):
        read(seal(b"text"), "another file")


def test_clear_file_is_replaced_by_an_encrypted_one(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"text")
    encryption = FileEncryption("kind", Keys())

    encryption.seal_file(path, "tenant")
    assert path.exists()  # for readers that have the path
    delete_clear_copy(path)

    assert [file.name for file in tmp_path.iterdir()] == ["a.sealed"]
    with encryption.open(path) as file:
        assert file.read() == b"text"
    with encryption.open_clear_path(path) as clear:
        assert clear.read_bytes() == b"text"
        assert not clear.is_relative_to(tmp_path)
    encryption.unseal_file(path)
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == b"text"


def test_clear_file_stays_readable_by_path_while_it_is_encrypted(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"text")
    encryption = FileEncryption("kind", Keys())

    with encryption.open_clear_path(path) as clear:
        encryption.seal_file(path, "tenant")
        delete_clear_copy(path)
        assert clear.read_bytes() == b"text"

    with pytest.raises(FileNotFoundError), encryption.open_clear_path(tmp_path / "missing"):
        pass


def test_file_that_is_encrypted_while_it_is_looked_up_is_found(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"text")
    encryption = FileEncryption("kind", Keys())

    def look_up(function):
        """Call *function*, and encrypt the file after the first look at its encrypted name."""
        looks = iter([tmp_path / "nothing"])
        monkeypatch.setattr(files, "get_sealed_path", lambda path: next(looks, get_sealed(path)))
        return function()

    def get_sealed(path):
        return path.with_name(path.name + ".sealed")

    encryption.seal_file(path, "tenant")
    delete_clear_copy(path)

    with look_up(lambda: encryption.open(path)) as file:
        assert file.read() == b"text"
    with look_up(lambda: encryption.find_download(path)) as reader:
        assert reader.size == 4
    assert look_up(lambda: files.find_stored_path(path)) == get_sealed(path)


def test_file_is_bound_to_its_name(tmp_path):
    encryption = FileEncryption("kind", Keys())
    (tmp_path / "a").write_bytes(b"text")
    encryption.seal_file(tmp_path / "a", "tenant")
    (tmp_path / "a.sealed").rename(tmp_path / "b.sealed")

    with pytest.raises(DamagedValue):
        encryption.open(tmp_path / "b")


def test_encrypted_file_cannot_be_opened_without_keys(tmp_path):
    (tmp_path / "a.sealed").write_bytes(seal(b"text", "kind/a"))

    with pytest.raises(DamagedValue):
        FileEncryption("kind").open(tmp_path / "a")
