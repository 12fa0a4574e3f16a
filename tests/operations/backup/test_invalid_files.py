"""Invalid, damaged, encrypted and foreign files: errors of verify-backup and restore."""

import gzip
import io
import json
import tarfile
import zipfile

import pytest

from backend.operations.backup.format.manifest import MAGIC
from tests.operations.backup.conftest import SERVICES


@pytest.fixture(scope="module")
def shared_backup(tmp_path_factory):
    """Return the path of a backup that the first test that needs it creates."""
    return tmp_path_factory.mktemp("backups") / "valid.backup"


@pytest.fixture
def valid_backup(shared_backup, filled, capsys):
    if not shared_backup.exists():
        filled.run_command("backup", shared_backup)
        capsys.readouterr()
    return shared_backup


@pytest.fixture
def get_error(create_installation, capsys):
    """Return the error of a file, after checking that restore fails alike and leaves no data."""

    def get(file, *options):
        empty = create_installation("empty")
        assert empty.run_command("verify-backup", file, *options) == 1
        error = capsys.readouterr().err
        assert empty.run_command("restore", file, *options) == 1
        assert capsys.readouterr().err == error
        names = {path.name for path in empty.data.rglob("*")} if empty.data.exists() else set()
        assert names <= {"run", "lock"}
        return error

    return get


def build_tar(*members, mode="w:gz"):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode=mode, format=tarfile.USTAR_FORMAT) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                name, content = member
                header = tarfile.TarInfo(name)
                header.size = len(content)
                tar.addfile(header, io.BytesIO(content))
    return raw.getvalue()


def symbolic_link(name, target):
    header = tarfile.TarInfo(name)
    header.type, header.linkname = tarfile.SYMTYPE, target
    return header


def build_zip():
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("backup.json", "{}")
    return raw.getvalue()


MANIFEST = ("backup.json", json.dumps({"what": MAGIC, "format": 1, "services": {}}).encode())
INVALID_FILES = {
    "empty": b"",
    "text": b"these are not the bytes you are looking for",
    "zip": build_zip(),
    "gzip of text": gzip.compress(b"words" * 1000),
    "gzip of zeros": gzip.compress(bytes(10_000)),
    "tar without manifest": build_tar(("notes.txt", b"hello")),
    "other manifest": build_tar(("backup.json", b'{"what": "photos"}')),
    "manifest is not an object": build_tar(("backup.json", b"[]")),
    "manifest is not JSON": build_tar(("backup.json", b"{")),
    "path outside the folder": build_tar(MANIFEST, ("../outside", b"x")),
    "absolute path": build_tar(MANIFEST, ("/etc/outside", b"x")),
    "symbolic link": build_tar(MANIFEST, symbolic_link("files/secrets", "/etc")),
    "unknown member": build_tar(MANIFEST, ("elsewhere/thing", b"x")),
    "no summary": build_tar(MANIFEST),
    "summary of another file": build_tar(MANIFEST, ("end.json", b'{"sha256": "00"}')),
    "tar without gzip": build_tar(MANIFEST, mode="w"),
}


@pytest.mark.parametrize("content", INVALID_FILES.values(), ids=INVALID_FILES)
def test_verify_and_restore_reject_files_that_are_not_backups(get_error, tmp_path, content):
    file = tmp_path / "foreign.backup"
    file.write_bytes(content)

    assert "backup" in get_error(file)
    assert not (tmp_path / "outside").exists()


def test_member_with_a_declared_size_of_4_gb_is_rejected(get_error, tmp_path):
    header = tarfile.TarInfo("rows/auth/users/00000000")
    header.size = 2**32
    file = tmp_path / "bomb.backup"
    file.write_bytes(
        gzip.compress(build_tar(MANIFEST, mode="w")[:1024] + header.tobuf() + bytes(10**7))
    )

    assert "backup" in get_error(file)


def test_manifest_with_a_declared_size_of_4_gb_is_rejected(get_error, tmp_path):
    header = tarfile.TarInfo("backup.json")
    header.size = 2**32
    file = tmp_path / "bomb.backup"
    file.write_bytes(gzip.compress(header.tobuf() + bytes(10**7)))

    assert "backup" in get_error(file)


def test_missing_file_is_reported(get_error, tmp_path):
    assert "cannot be read" in get_error(tmp_path / "nowhere.backup")


@pytest.mark.slow
def test_truncated_backup_is_rejected_at_any_length(valid_backup, get_error, tmp_path):
    content = valid_backup.read_bytes()
    size = len(content)
    for length in (1, 100, size // 3, size // 2, size - 300, size - 1):
        file = tmp_path / f"truncated-{length}.backup"
        file.write_bytes(content[:length])
        assert "damaged" in get_error(file)


@pytest.mark.slow
def test_backup_with_a_flipped_bit_is_rejected_at_any_offset(valid_backup, get_error, tmp_path):
    tar = bytearray(gzip.decompress(valid_backup.read_bytes()))
    content_size = len(tar.rstrip(b"\0"))
    for offset in range(700, content_size - 1500, content_size // 7):
        tar[offset] ^= 4
        file = tmp_path / f"flipped-{offset}.backup"
        file.write_bytes(gzip.compress(bytes(tar)))
        assert "backup" in get_error(file)
        tar[offset] ^= 4


def test_backup_followed_by_other_data_is_rejected(valid_backup, get_error, tmp_path):
    file = tmp_path / "longer.backup"
    file.write_bytes(valid_backup.read_bytes() + gzip.compress(b"more"))

    assert "unexpected data follows its end" in get_error(file)


def with_manifest(valid_backup, change):
    """Return the backup with a changed manifest. It is rejected before the digest is checked."""
    tar = gzip.decompress(valid_backup.read_bytes())
    size = tarfile.TarInfo.frombuf(tar[:512], "utf-8", "strict").size
    manifest = json.loads(tar[512 : 512 + size])
    change(manifest)
    rest = tar[512 + size + -size % 512 :]
    changed = json.dumps(manifest).encode()
    first = build_tar(("backup.json", changed), mode="w")
    length = 512 + len(changed) + -len(changed) % 512
    return gzip.compress(first[:length] + rest)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda manifest: manifest.update(format=2), id="format"),
        pytest.param(
            lambda manifest: manifest["services"]["auth"].update(revision="9999"), id="revision"
        ),
        pytest.param(
            lambda manifest: manifest["services"].update(chat={"revision": "1"}), id="service"
        ),
    ],
)
def test_backup_of_a_newer_release_is_rejected_with_its_version(
    valid_backup, get_error, tmp_path, change
):
    file = tmp_path / "newer.backup"

    def change_release(manifest):
        manifest.update(release="9.9.9")
        change(manifest)

    file.write_bytes(with_manifest(valid_backup, change_release))

    assert "made by release 9.9.9, which is newer" in get_error(file)


def test_restore_fails_and_changes_nothing_when_tables_exist(
    valid_backup, create_installation, filled, capsys
):
    before = filled.read_rows()

    assert filled.run_command("restore", valid_backup) == 1

    assert "add --replace" in capsys.readouterr().err
    assert filled.read_rows() == before


def test_restore_with_replace_moves_existing_data_aside(valid_backup, filled, capsys):
    (filled.data / "rag" / "blobs").mkdir(parents=True)
    (filled.data / "rag" / "blobs" / "older").write_text("older")
    (filled.data / "valkey").mkdir()

    assert filled.run_command("restore", valid_backup, "--replace") == 0, capsys.readouterr().err

    (aside,) = filled.data.glob("replaced-*")
    assert {f"{name}.db" for name in SERVICES} <= {path.name for path in aside.iterdir()}
    assert (aside / "rag" / "blobs" / "older").read_text() == "older"
    assert not (filled.data / "valkey").exists()
    assert (filled.data / "secrets" / "SECRET_KEY").exists()


def test_backup_does_not_overwrite_an_existing_file(filled, tmp_path, capsys):
    file = tmp_path / "notes"
    file.write_text("notes")

    assert filled.run_command("backup", file) == 1

    assert "already exists" in capsys.readouterr().err
    assert file.read_text() == "notes"


def test_backup_of_an_installation_without_tables_fails(create_installation, tmp_path, capsys):
    assert create_installation("empty").run_command("backup", tmp_path / "all.backup") == 1

    assert "There is nothing to back up" in capsys.readouterr().err
    assert list(tmp_path.glob("all.backup*")) == []


@pytest.mark.slow
def test_encrypted_backup_requires_its_passphrase(
    filled, create_installation, get_error, tmp_path, capsys
):
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("the passphrase\n")
    wrong.write_text("another passphrase\n")
    file = tmp_path / "sealed.backup"
    filled.run_command("backup", file, "--passphrase-file", right)
    capsys.readouterr()

    assert b"sample secret" not in file.read_bytes()
    assert "--passphrase-file" in get_error(file)
    assert "The passphrase is wrong" in get_error(file, "--passphrase-file", wrong)
    content = file.read_bytes()
    damaged = file.with_suffix(".damaged")
    for damaged_content in (content[:-20], content[:200] + b"x" + content[201:]):
        damaged.write_bytes(damaged_content)
        get_error(damaged, "--passphrase-file", right)
    new = create_installation("new")
    assert new.run_command("restore", file, "--passphrase-file", right) == 0
    assert (new.data / "secrets" / "SECRET_KEY").read_text() == "sample secret\n"
