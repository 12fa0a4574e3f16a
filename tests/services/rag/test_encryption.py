"""Documents that are encrypted at rest: originals, texts, chunks and the words of the index."""

import base64
import email.message
import os
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select, update

from backend.chassis.data_encryption.reencryption import Reencryption
from backend.chassis.data_encryption.settings import NO_ENCRYPTION, EncryptionSettings
from backend.chassis.settings import Env, SettingsError
from backend.chassis.web.app_factory import get_component
from backend.services.rag.backup import RagBackupContributor
from backend.services.rag.domain.blob_storage import BlobStorage
from backend.services.rag.domain.maintenance.transfer import export_library
from backend.services.rag.domain.maintenance.verification import ConsistencyCheck
from backend.services.rag.sealed_data import open_sealed_data
from backend.services.rag.store.chunks import ChunkRow
from backend.services.rag.store.documents import PageRow
from backend.services.rag.wiring import RagComponents
from tests.databases import on_postgresql
from tests.identities import Identities
from tests.services.rag.conftest import PDF, ApiUser, build_settings, stop_app

MARKER = "Zwetschgenmarmeladenglas"
TEXT = (
    f"# Storage\n\nThe {MARKER} stands on the third shelf. It was filled in September 2026.\n\n"
    "# Delivery\n\nPallets are delivered on Tuesdays before noon.\n"
)


def new_key():
    return base64.b64encode(os.urandom(32)).decode()


@pytest.fixture
def sqlite_only():
    if on_postgresql():
        pytest.skip("looks into the SQLite file")


@pytest.fixture
def key_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("keys") / "master.key"
    file.write_text(new_key())
    return file


@pytest.fixture
def start(start_app, tmp_path):
    """Return a function that starts the service, with encryption if a key file is given."""
    identities = Identities()
    running = []

    def start_service(key_file=None, **changes):
        while running:
            app = running.pop()
            stop_app(app)
            get_component(app, RagComponents).database.engine.dispose()
        values = {} if key_file is None else {"ENCRYPTION_KEY_FILE": str(key_file)}
        encryption = EncryptionSettings.from_env(Env(values))
        app = start_app(identities, encryption=encryption, **changes)
        running.append(app)
        return ApiUser(app, identities.bearer("user-ada")), get_component(app, RagComponents)

    return start_service


@pytest.fixture
def open_data(tmp_path):
    """Return a function that opens the data of the service as the command does."""

    def open_with(key_file):
        values = {
            "DATA_DIR": str(tmp_path),
            "DATABASE_URL": build_settings(tmp_path).database_url if on_postgresql() else "",
            "SECRET_KEY": "kR8-a7Vf0Qp2mXz9cLw4nTb6yHs1dGj3eUo5iKq7",
            "ENCRYPTION_KEY_FILE": str(key_file),
        }
        return open_sealed_data(Env(values))

    return open_with


def run(data, action="encrypt"):
    reencryption = Reencryption.open(data, lambda *_: None)
    try:
        return getattr(reencryption, action)()
    finally:
        data.database.engine.dispose()


def count(data):
    return {
        counts.name: (counts.clear, counts.replaced, counts.total) for counts in run(data, "count")
    }


def list_files_with(folder: Path, marker: str) -> list[str]:
    """Return the files that contain *marker* in any case, without those of the vector store.

    hnswlib writes uninitialised memory to its files. Here it runs in the process of the service,
    whose memory contains texts; in a suite, it runs in a process of its own without them.
    """
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file()
        and not path.is_relative_to(folder / "rag" / "vectors")
        and marker.lower().encode() in path.read_bytes().lower()
    ]


def read_text(user, document_id):
    pages = user("GET", f"/documents/{document_id}/text").json["pages"]
    return "".join(page["text"] for page in pages)


def find(user, query):
    return [hit["text"] for hit in user.search(query, mode="keyword")]


@pytest.mark.usefixtures("sqlite_only")
def test_data_folder_contains_no_text_of_documents(start, key_file, tmp_path):
    user, _ = start(key_file)
    document = user.upload(TEXT, "storage.md")

    assert list_files_with(tmp_path, MARKER) == []
    assert MARKER in read_text(user, document["id"])
    assert MARKER in find(user, MARKER)[0]
    assert MARKER in find(user, "glas marmelade")[0]  # parts of the compound
    assert any(MARKER in hit["text"] for hit in user.search("Where does the jam stand?"))
    assert MARKER in user.ask(f"Where does the {MARKER} stand?")["answer"]
    chunks = user("GET", f"/documents/{document['id']}/chunks").json["items"]
    assert chunks[0]["section"] == "Storage"


def test_original_is_downloaded_whole_and_in_ranges(start, key_file):
    user, _ = start(key_file)
    content = (f"{MARKER} " * 9000).encode()
    (document,) = user.send(content, "long.txt", wait=0).json["documents"]
    path = f"/documents/{document['id']}/content"

    whole = user("GET", path)
    middle = user("GET", path, headers={"Range": "bytes=65500-131100"})
    suffix = user("GET", path, headers={"Range": "bytes=-5"})
    several = user("GET", path, headers={"Range": "bytes=0-1,3-4"})
    beyond = user("GET", path, headers={"Range": f"bytes={len(content)}-"})
    head = user("HEAD", path)

    assert (whole.data, whole.content_length) == (content, len(content))
    assert (middle.status_code, middle.data) == (206, content[65500:131101])
    assert suffix.data == content[-5:]
    assert (several.status_code, several.data) == (200, content)
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == f"bytes */{len(content)}"
    assert (head.status_code, head.content_length) == (200, len(content))


@pytest.mark.slow
def test_pages_of_a_pdf_are_rendered(start, key_file, tmp_path):
    user, _ = start(key_file)
    document = user.upload(PDF)

    image = user("GET", f"/documents/{document['id']}/pages/1.png")
    page = user("GET", f"/documents/{document['id']}/pages/1")

    assert image.status_code == 200, image.text
    assert image.data[:4] in (b"RIFF", b"\x89PNG")
    assert page.json["width"] > 0
    assert [file.suffix for file in (tmp_path / "rag" / "blobs").iterdir()] == [".sealed"]


@pytest.mark.usefixtures("sqlite_only")
def test_attachments_of_a_message_are_encrypted(start, key_file, tmp_path):
    user, _ = start(key_file)
    message = email.message.EmailMessage()
    message["From"], message["Subject"] = "ada@example.org", "Jam"
    message["To"] = "bob@example.org"
    message.set_content("The list is attached.")
    message.add_attachment(TEXT.encode(), "text", "markdown", filename="list.md")

    user.upload(message.as_bytes(), "jam.eml")
    documents = user("GET", "/documents").json["items"]
    user("GET", f"/documents/{documents[0]['id']}")

    assert len(documents) == 2
    assert list_files_with(tmp_path, MARKER) == []
    for document in documents:
        moved = user("PATCH", f"/documents/{document['id']}", json={"collection": "default"})
        assert moved.status_code in (200, 202)


@pytest.mark.usefixtures("sqlite_only")
def test_existing_documents_are_encrypted_and_decrypted_again(start, key_file, tmp_path, open_data):
    user, _ = start()
    old = user.upload(TEXT, "old.md")
    user, _ = start(key_file)  # both kinds of documents are read
    new = user.upload(TEXT + "\nA new edition.\n", "new.md")
    texts = [read_text(user, document["id"]) for document in (old, new)]
    assert len(find(user, MARKER)) == 2

    assert run(open_data(key_file)).damaged == 0
    assert {counts[0] for counts in count(open_data(key_file)).values()} == {0}

    assert [read_text(user, document["id"]) for document in (old, new)] == texts
    start(key_file)[1].database.engine.dispose()
    data = open_data(key_file)
    Reencryption.open(data, lambda *_: None).remove_deleted_text()
    data.database.engine.dispose()
    user, _ = start(key_file)
    assert list_files_with(tmp_path, MARKER) == []
    assert len(find(user, MARKER)) == 2
    assert user("GET", f"/documents/{old['id']}/content").data == TEXT.encode()

    assert run(open_data(key_file), "decrypt").damaged == 0
    user, _ = start()
    assert [read_text(user, document["id"]) for document in (old, new)] == texts
    assert user("GET", f"/documents/{old['id']}/content").data == TEXT.encode()


def test_clear_document_is_processed_again_with_encryption(start, key_file):
    user, _ = start()
    document = user.upload(TEXT, "storage.md")
    user, _ = start(key_file)

    assert user("POST", f"/documents/{document['id']}/reindex").status_code == 202

    processed = user.upload("Wait for the queue.", "wait.txt")
    assert processed["status"] == "ready"
    assert user("GET", f"/documents/{document['id']}").json["status"] == "ready"
    assert MARKER in read_text(user, document["id"])
    assert len(find(user, MARKER)) == 1


def test_keys_are_rotated_and_documents_reindexed(start, key_file, open_data):
    user, _ = start(key_file)
    document = user.upload(TEXT, "storage.md")
    first = key_file.read_text()

    run(open_data(key_file), "rotate_data_keys")
    assert count(open_data(key_file))["rag/blobs"] == (0, 1, 1)
    run(open_data(key_file))
    key_file.write_text(f"{new_key()}\n{first}")
    run(open_data(key_file), "rewrap_data_keys")
    key_file.write_text(key_file.read_text().splitlines()[0])

    assert {counts[1] for counts in count(open_data(key_file)).values()} == {0}
    user, _ = start(key_file)
    assert user("GET", f"/documents/{document['id']}/content").data == TEXT.encode()
    changed = user("PATCH", f"/documents/{document['id']}", json={"title": "Shelves"})
    assert changed.status_code in (200, 202), changed.text
    processed = user.upload("Wait for the queue.", "wait.txt")
    assert processed["status"] == "ready"
    assert MARKER in read_text(user, document["id"])
    assert len(find(user, MARKER)) == 1


def test_start_without_the_master_key_is_refused(start, key_file):
    user, _ = start(key_file)
    user.upload(TEXT, "storage.md")

    with pytest.raises(SettingsError, match="Set ENCRYPTION_KEY_FILE"):
        start()


def test_damage_affects_its_document_only(start, key_file, tmp_path):
    user, components = start(key_file)
    damaged = user.upload(TEXT, "storage.md")
    (file,) = (tmp_path / "rag" / "blobs").iterdir()
    other = user.upload(f"Another {MARKER} is in the cellar.", "cellar.txt")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    chunks, pages = ChunkRow.__table__, PageRow.__table__
    database = components.database.across_tenants()
    with database.write() as session:
        texts = dict(session.execute(select(chunks.c.id, chunks.c.text)).tuples().all())
        (foreign,) = (text for key, text in texts.items() if other["id"][4:] in key)
        session.execute(
            update(chunks).where(chunks.c.document_id == damaged["id"]).values(text=foreign)
        )
        session.execute(
            update(pages).where(pages.c.document_id == damaged["id"]).values(text="AAAA")
        )

    text = user("GET", f"/documents/{damaged['id']}/text")
    original = user("GET", f"/documents/{damaged['id']}/content")

    assert (text.status_code, text.json["code"]) == (500, "data_damaged")
    assert (original.status_code, original.json["code"]) == (500, "data_damaged")
    assert find(user, MARKER) == [f"Another {MARKER} is in the cellar."]
    assert user("GET", f"/documents/{other['id']}/content").status_code == 200


def test_backup_export_and_check_read_encrypted_documents(start, key_file, tmp_path):
    user, components = start(key_file)
    user.upload(TEXT, "storage.md")
    blobs = components.blob_storage
    database = components.database.across_tenants()
    members = {}

    class Writer:
        def add_bytes(self, name, content):
            members[name] = content

        def add_file(self, name, size, source):
            members[name] = source.read()
            assert len(members[name]) == size
            return ""

    settings = build_settings(tmp_path)
    encryption = EncryptionSettings.from_env(Env({"ENCRYPTION_KEY_FILE": str(key_file)}))
    contributor = RagBackupContributor(blobs, components.vectors, settings.vectors, encryption)
    with components.database.as_owner() as connection:
        assert contributor.write_members(connection, Writer(), lambda line: None) == []
        problems = contributor.update_restored_rows(connection)
        assert [problem for problem in problems if "key" in problem] == []
        other = RagBackupContributor(blobs, components.vectors, settings.vectors, NO_ENCRYPTION)
        assert "ENCRYPTION_KEY_FILE" in other.update_restored_rows(connection)[-1]
    assert all(MARKER.encode() not in content for content in members.values())
    (name,) = (name for name in members if "/blobs/" in name)
    restored = BlobStorage(tmp_path / "restored")
    restored.write_blob(name.split("/")[2], [members[name]])
    assert restored.find_stored_path(name.split("/")[2].removesuffix(".sealed")) is not None

    check = ConsistencyCheck(
        database,
        blobs,
        components.embedding_models,
        components.vectors,
        repair=False,
        report_progress=lambda *_: None,
    )
    wrong = Counter({result.description: len(result.inconsistent) for result in check.run_checks()})
    assert wrong.total() == 0
    result = export_library(database, blobs, tmp_path / "library.tar.gz", lambda *_: None)
    assert (result.documents, result.missing_originals) == (1, 0)
