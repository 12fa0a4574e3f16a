"""A file that is not a whole backup of this suite changes nothing."""

import gzip
import io
import json
import tarfile
import zipfile

import pytest

from backend.operations.backup.manifest import MAGIC
from tests.operations.backup.conftest import SERVICES


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Holds a backup for all tests of this module, once one of them has made it."""
    return tmp_path_factory.mktemp("kept") / "good.backup"


@pytest.fixture
def good(kept, full, capsys):
    if not kept.exists():
        full.type_in("backup", kept)
        capsys.readouterr()
    return kept


@pytest.fixture
def refused(make_place, capsys):
    """What verify-backup and restore say of a file that both refuse."""

    def ask(file, *words):
        place = make_place("empty")
        assert place.type_in("verify-backup", file, *words) == 1
        verifying = capsys.readouterr().err
        assert place.type_in("restore", file, *words) == 1
        assert capsys.readouterr().err == verifying
        left = {path.name for path in place.data.rglob("*")} if place.data.exists() else set()
        assert left <= {"run", "lock"}
        return verifying

    return ask


def tarred(*members, mode="w:gz"):
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


def link(name, target):
    header = tarfile.TarInfo(name)
    header.type, header.linkname = tarfile.SYMTYPE, target
    return header


def zipped():
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("backup.json", "{}")
    return raw.getvalue()


HEAD = ("backup.json", json.dumps({"what": MAGIC, "format": 1, "services": {}}).encode())
FOREIGN = {
    "nothing": b"",
    "words": b"these are not the bytes you are looking for",
    "zip": zipped(),
    "gzip of words": gzip.compress(b"words" * 1000),
    "zeros": gzip.compress(bytes(10_000)),
    "another tar": tarred(("notes.txt", b"hello")),
    "a head of something else": tarred(("backup.json", b'{"what": "photos"}')),
    "a head that is no object": tarred(("backup.json", b"[]")),
    "a head that is no JSON": tarred(("backup.json", b"{")),
    "a way out of the folder": tarred(HEAD, ("../outside", b"x")),
    "an absolute path": tarred(HEAD, ("/etc/outside", b"x")),
    "a link": tarred(HEAD, link("files/secrets", "/etc")),
    "what nobody knows": tarred(HEAD, ("elsewhere/thing", b"x")),
    "no end": tarred(HEAD),
    "an end of another file": tarred(HEAD, ("end.json", b'{"sha256": "00"}')),
    "a plain tar": tarred(HEAD, mode="w"),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_backup_is_refused(refused, tmp_path, content):
    file = tmp_path / "foreign.backup"
    file.write_bytes(content)

    assert "backup" in refused(file)
    assert not (tmp_path / "outside").exists()


def test_a_member_that_says_it_is_endless_is_not_waited_for(refused, tmp_path):
    header = tarfile.TarInfo("rows/auth/users/00000000")
    header.size = 2**32
    file = tmp_path / "bomb.backup"
    file.write_bytes(gzip.compress(tarred(HEAD, mode="w")[:1024] + header.tobuf() + bytes(10**7)))

    assert "backup" in refused(file)


def test_a_head_that_says_it_is_endless_is_not_read(refused, tmp_path):
    header = tarfile.TarInfo("backup.json")
    header.size = 2**32
    file = tmp_path / "bomb.backup"
    file.write_bytes(gzip.compress(header.tobuf() + bytes(10**7)))

    assert "backup" in refused(file)


def test_a_file_that_is_not_there_is_told(refused, tmp_path):
    assert "cannot be read" in refused(tmp_path / "nowhere.backup")


def test_a_backup_that_was_cut_short_is_refused_wherever_it_was_cut(good, refused, tmp_path):
    whole = good.read_bytes()
    for cut in (1, 100, len(whole) // 3, len(whole) // 2, len(whole) - 300, len(whole) - 1):
        file = tmp_path / f"cut-{cut}.backup"
        file.write_bytes(whole[:cut])
        assert "damaged" in refused(file)


def test_a_flipped_bit_is_noticed_wherever_it_is(good, refused, tmp_path):
    plain = bytearray(gzip.decompress(good.read_bytes()))
    for place in range(700, len(plain) - 3000, len(plain) // 7):
        plain[place] ^= 4
        file = tmp_path / f"flipped-{place}.backup"
        file.write_bytes(gzip.compress(bytes(plain)))
        assert "backup" in refused(file)
        plain[place] ^= 4


def test_what_follows_the_end_is_refused(good, refused, tmp_path):
    file = tmp_path / "longer.backup"
    file.write_bytes(good.read_bytes() + gzip.compress(b"more"))

    assert "something follows its end" in refused(file)


def with_head(good, change):
    """The backup with another head; its digest is wrong then, but nobody gets so far."""
    plain = gzip.decompress(good.read_bytes())
    size = tarfile.TarInfo.frombuf(plain[:512], "utf-8", "strict").size
    head = json.loads(plain[512 : 512 + size])
    change(head)
    rest = plain[512 + size + -size % 512 :]
    first = tarred(("backup.json", json.dumps(head).encode()), mode="w")
    length = 512 + len(json.dumps(head)) + -len(json.dumps(head)) % 512
    return gzip.compress(first[:length] + rest)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda head: head.update(format=2), id="format"),
        pytest.param(lambda head: head["services"]["auth"].update(revision="9999"), id="revision"),
        pytest.param(lambda head: head["services"].update(chat={"revision": "1"}), id="service"),
    ],
)
def test_a_backup_of_a_newer_release_says_so(good, refused, tmp_path, change):
    file = tmp_path / "newer.backup"
    file.write_bytes(with_head(good, lambda head: (head.update(release="9.9.9"), change(head))))

    assert "made by release 9.9.9, which is newer" in refused(file)


def test_a_backup_does_not_go_over_what_is_there(good, make_place, full, capsys):
    before = full.contents()

    assert full.type_in("restore", good) == 1

    assert "add --replace" in capsys.readouterr().err
    assert full.contents() == before


def test_with_replace_what_was_there_is_set_aside(good, full, capsys):
    (full.data / "rag" / "blobs").mkdir(parents=True)
    (full.data / "rag" / "blobs" / "older").write_text("older")
    (full.data / "valkey").mkdir()

    assert full.type_in("restore", good, "--replace") == 0, capsys.readouterr().err

    (aside,) = full.data.glob("replaced-*")
    assert {f"{name}.db" for name in SERVICES} <= {path.name for path in aside.iterdir()}
    assert (aside / "rag" / "blobs" / "older").read_text() == "older"
    assert not (full.data / "valkey").exists()
    assert (full.data / "secrets" / "SECRET_KEY").exists()


def test_a_file_of_that_name_is_left_alone(full, tmp_path, capsys):
    file = tmp_path / "mine"
    file.write_text("mine")

    assert full.type_in("backup", file) == 1

    assert "is there already" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_an_installation_without_tables_has_nothing_to_back_up(make_place, tmp_path, capsys):
    assert make_place("empty").type_in("backup", tmp_path / "all.backup") == 1

    assert "There is nothing to back up" in capsys.readouterr().err
    assert list(tmp_path.glob("all.backup*")) == []


def test_a_sealed_backup_opens_with_its_passphrase_alone(
    full, make_place, refused, tmp_path, capsys
):
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("the passphrase\n")
    wrong.write_text("another passphrase\n")
    file = tmp_path / "sealed.backup"
    full.type_in("backup", file, "--passphrase-file", right)
    capsys.readouterr()

    assert b"kept secret" not in file.read_bytes()
    assert "--passphrase-file" in refused(file)
    assert "not the passphrase" in refused(file, "--passphrase-file", wrong)
    whole = file.read_bytes()
    for broken in (whole[:-20], whole[:200] + b"x" + whole[201:]):
        file.with_suffix(".broken").write_bytes(broken)
        refused(file.with_suffix(".broken"), "--passphrase-file", right)
    new = make_place("new")
    assert new.type_in("restore", file, "--passphrase-file", right) == 0
    assert (new.data / "secrets" / "SECRET_KEY").read_text() == "kept secret\n"
