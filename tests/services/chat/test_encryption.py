"""Messages and attachments that are encrypted at rest."""

import base64
import hashlib
import os
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event, Thread
from unittest.mock import Mock

import pytest
from sqlalchemy import select, text, update

from backend.chassis.data_encryption.reencryption import Reencryption
from backend.chassis.data_encryption.sealed_data import find_master_key_problems
from backend.chassis.data_encryption.settings import EncryptionSettings
from backend.chassis.settings import Env, SettingsError
from backend.chassis.web.app_factory import get_component
from backend.services.chat.app import create_app
from backend.services.chat.backup import ChatBackupContributor
from backend.services.chat.jobs.waking import WorkerWaker
from backend.services.chat.sealed_data import open_sealed_data
from backend.services.chat.store.attachment_files import AttachmentFiles
from backend.services.chat.store.tables import Attachment, Conversation, Message, Revision
from backend.services.chat.wiring import ChatComponents
from tests.databases import on_postgresql
from tests.services.chat.conftest import TEAM
from tests.services.chat.test_attachment_backup import Archive, Member
from tests.services.chat.test_web_chat import send

MARKER = "Zwetschgenmarmelade"
FILE = b"%PDF-1.7 " + MARKER.encode() + bytes(200_000) + b"end"


def new_key():
    return base64.b64encode(os.urandom(32)).decode()


@pytest.fixture
def key_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("keys") / "master.key"
    file.write_text(f"# master key\n{new_key()}\n")
    return file


@pytest.fixture
def start(settings, identities):
    """Return a function that starts the service, with encryption if a key file is given."""
    running = []

    def start_app(key_file=None, values=None):
        stop()
        file = {} if key_file is None else {"ENCRYPTION_KEY_FILE": str(key_file)}
        encryption = EncryptionSettings.from_env(Env(values or file))
        app = identities.trust(create_app(replace(settings, encryption=encryption)))
        running.append(app)
        return app.test_client(), get_component(app, ChatComponents)

    def stop():
        while running:
            app = running.pop()
            get_component(app, WorkerWaker).stop()
            get_component(app, ChatComponents).database.engine.dispose()

    yield start_app
    stop()


@pytest.fixture
def open_data(settings):
    """Return a function that opens the data of the service as the command does."""

    def open_with(key_file="", **changes):
        values = {
            "DATA_DIR": str(settings.common.data_dir),
            "DATABASE_URL": settings.database_url,
            "SECRET_KEY": "a secret of the tests, long enough to be accepted",
            "ENCRYPTION_KEY_FILE": str(key_file),
            **changes,
        }
        return open_sealed_data(Env({name: value for name, value in values.items() if value}))

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


def add_attachment(components, message_id, conversation_id):
    blob = components.files.add(FILE, TEAM)
    with components.database.write(TEAM) as session:
        session.add(
            Attachment(
                id="att_1",
                tenant_id=TEAM,
                conversation_id=conversation_id,
                message_id=message_id,
                position=0,
                name="recipe.pdf",
                mime="application/pdf",
                size_bytes=len(FILE),
                sha256=hashlib.sha256(FILE).hexdigest(),
                blob=blob,
                state="stored",
                created_at=components.now(),
            )
        )
    return blob


def list_files_with(folder, marker):
    """Return the files below *folder* that contain *marker* in any case."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and marker.lower().encode() in path.read_bytes().lower()
    ]


def find(client, who, query):
    items = client.get("/search", query_string={"q": query}, headers=who).json["items"]
    return [item["message"]["content"]["text"] for item in items]


def read_texts(client, who, conversation_id):
    path = f"/conversations/{conversation_id}/messages"
    items = client.get(path, headers=who).json["items"]
    return [item["content"].get("text") or item["content"]["type"] for item in items]


def fill(client, who, components):
    """Write, edit and search messages, and store a file. Return the conversation's id."""
    sent = send(client, who, f"Please buy {MARKER} today").json
    conversation_id = sent["conversation_id"]
    path = f"/conversations/{conversation_id}/messages/{sent['message']['id']}"
    edited = client.patch(path, json={"content": f"{MARKER} and bread"}, headers=who)
    assert edited.json["content"]["text"] == f"{MARKER} and bread"
    add_attachment(components, sent["message"]["id"], conversation_id)
    return conversation_id


@pytest.fixture
def sqlite_only():
    if on_postgresql():
        pytest.skip("looks into the SQLite file")


@pytest.mark.usefixtures("sqlite_only")
def test_data_folder_contains_no_text_of_messages(start, ada, key_file, settings):
    client, components = start(key_file)

    conversation_id = fill(client, ada, components)

    assert list_files_with(settings.common.data_dir, MARKER) == []
    assert find(client, ada, f"{MARKER} bread") == [f"{MARKER} and bread"]
    assert find(client, ada, "buy") == ["You said: Please buy Zwetschgenmarmelade today"]
    assert read_texts(client, ada, conversation_id)[0] == f"{MARKER} and bread"
    with components.database.read(TEAM) as session:
        revision = session.scalars(select(Revision)).one()
        assert revision.content["text"] == f"Please buy {MARKER} today"


def test_attachment_is_downloaded_whole_and_in_ranges(start, ada, key_file):
    client, components = start(key_file)
    path = f"/conversations/{fill(client, ada, components)}/attachments/att_1"

    whole = client.get(path, headers=ada)
    middle = client.get(path, headers=ada | {"Range": "bytes=65530-131080"})
    suffix = client.get(path, headers=ada | {"Range": "bytes=-3"})
    beyond = client.get(path, headers=ada | {"Range": f"bytes={len(FILE)}-"})
    cached = client.get(path, headers=ada | {"If-None-Match": whole.headers["ETag"]})

    assert (whole.status_code, whole.data, whole.content_length) == (200, FILE, len(FILE))
    assert (middle.status_code, middle.data) == (206, FILE[65530:131081])
    assert middle.headers["Content-Range"] == f"bytes 65530-131080/{len(FILE)}"
    assert suffix.data == b"end"
    assert beyond.status_code == 416
    assert cached.status_code == 304


def test_history_and_export_contain_the_text(start, ada, manager, key_file):
    client, components = start(key_file)
    fill(client, ada, components)

    exported = client.get("/history/export?format=jsonl", headers=manager)
    listed = client.get("/history", query_string={"q": MARKER}, headers=manager)

    assert f"{MARKER} and bread" in exported.text
    assert len(listed.json["items"]) == 1


@pytest.mark.usefixtures("sqlite_only")
def test_existing_data_is_encrypted_and_decrypted_again(start, ada, key_file, settings, open_data):
    client, components = start()
    conversation_id = fill(client, ada, components)
    clear = read_texts(client, ada, conversation_id)
    assert list_files_with(settings.common.data_dir, MARKER) != []
    client, components = start(key_file)  # before existing data is encrypted
    send(client, ada, f"{MARKER} once more", conversation_id=conversation_id)
    mixed = read_texts(client, ada, conversation_id)
    assert mixed[: len(clear)] == clear
    assert len(find(client, ada, MARKER)) == 4

    result = run(open_data(key_file))

    # The conversation, two messages, a revision and a file; the others were encrypted already.
    assert (result.converted, result.damaged) == (5, 0)
    assert {counts[0] for counts in count(open_data(key_file)).values()} == {0}
    data = open_data(key_file)
    assert Reencryption.open(data, lambda *_: None).remove_deleted_text() is True
    data.database.engine.dispose()
    client, _ = start(key_file)
    assert read_texts(client, ada, conversation_id) == mixed
    assert len(find(client, ada, MARKER)) == 4
    components.database.engine.dispose()
    assert list_files_with(settings.common.data_dir, MARKER) == []

    run(open_data(key_file), "decrypt")

    client, _ = start()
    assert read_texts(client, ada, conversation_id) == mixed
    assert len(find(client, ada, MARKER)) == 4
    path = f"/conversations/{conversation_id}/attachments/att_1"
    assert client.get(path, headers=ada).data == FILE


@pytest.mark.parametrize("killed_after", [1, 3, 6])
def test_interrupted_encryption_is_continued(
    start, ada, key_file, open_data, monkeypatch, killed_after
):
    client, components = start()
    conversation_id = fill(client, ada, components)
    for number in range(4):
        send(client, ada, f"{MARKER} {number}", conversation_id=conversation_id)
    before = read_texts(client, ada, conversation_id)
    monkeypatch.setattr("backend.chassis.data_encryption.reencryption._BATCH_ROWS", 2)
    reports = []

    def report(*_):
        reports.append(1)
        if len(reports) == killed_after:
            raise KeyboardInterrupt

    data = open_data(key_file)
    with pytest.raises(KeyboardInterrupt):
        Reencryption.open(data, report).encrypt()
    client, _ = start(key_file)
    assert read_texts(client, ada, conversation_id) == before

    run(open_data(key_file))

    assert {counts[0] for counts in count(open_data(key_file)).values()} == {0}
    assert read_texts(client, ada, conversation_id) == before
    assert len(find(client, ada, MARKER)) == 10


def test_keys_are_rotated(start, ada, key_file, open_data):
    client, components = start(key_file)
    conversation_id = fill(client, ada, components)
    before = read_texts(client, ada, conversation_id)
    first = key_file.read_text()

    assert run(open_data(key_file), "rotate_data_keys") == 1
    assert count(open_data(key_file))["chat_messages"] == (0, 2, 2)
    send(client, ada, f"{MARKER} later", conversation_id=conversation_id)
    run(open_data(key_file))
    assert {counts[1] for counts in count(open_data(key_file)).values()} == {0}

    key_file.write_text(f"{new_key()}\n{first}")
    assert run(open_data(key_file), "rewrap_data_keys") == 2
    key_file.write_text(key_file.read_text().splitlines()[0])

    client, _ = start(key_file)
    assert read_texts(client, ada, conversation_id)[:2] == before
    assert len(find(client, ada, MARKER)) == 4
    path = f"/conversations/{conversation_id}/attachments/att_1"
    assert client.get(path, headers=ada).data == FILE


def test_search_finds_all_words_after_two_rotations(start, ada, key_file, open_data):
    client, components = start(key_file)
    conversation_id = fill(client, ada, components)
    for number in range(2):
        key_file.write_text(f"{new_key()}\n{key_file.read_text()}")
        assert run(open_data(key_file), "rotate_data_keys") == 1
        # Only the second rotation is completed.
        if number == 1:
            assert run(open_data(key_file)).damaged == 0
        assert run(open_data(key_file), "rewrap_data_keys") == number + 1
        client, _ = start(key_file)
        send(client, ada, f"{MARKER} {number}", conversation_id=conversation_id)

    assert {counts[:2] for counts in count(open_data(key_file)).values()} == {(0, 0)}
    key_file.write_text(key_file.read_text().splitlines()[0])
    assert len(find(start(key_file)[0], ada, MARKER)) == 6


def test_data_keys_are_wrapped_by_a_command(start, ada, tmp_path):
    script = tmp_path / "kms.py"
    script.write_text("import sys; print(sys.stdin.readline().strip()[::-1])")
    values = {"ENCRYPTION_KMS_COMMAND": f"{sys.executable} -S {script}"}
    client, _ = start(values=values)
    conversation_id = send(client, ada, MARKER).json["conversation_id"]

    client, _ = start(values=values)
    assert read_texts(client, ada, conversation_id)[0] == MARKER
    script.write_text("raise SystemExit(1)")
    with pytest.raises(SettingsError, match="unwrap failed with status 1"):
        start(values=values)
    with pytest.raises(SettingsError, match="encrypted through a KMS command"):
        start()


# A KMS that fails while another connection writes to the database. It appends its action to a file.
STRICT_KMS = """
import sqlite3, sys
with open(sys.argv[2], "a") as log:
    print(sys.argv[-1], file=log)
connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print(sys.stdin.readline().strip()[::-1])
"""


@pytest.mark.usefixtures("sqlite_only")
def test_kms_command_is_not_run_while_the_database_is_written(
    start, ada, identities, tmp_path, settings, open_data
):
    script, log = tmp_path / "kms.py", tmp_path / "kms.log"
    script.write_text(STRICT_KMS)
    file = settings.common.data_dir / "chat.db"
    values = {"ENCRYPTION_KMS_COMMAND": f"{sys.executable} -S {script} {file} {log}"}
    eve = identities.bearer("user-eve")
    client, _ = start(values=values)
    for who in (ada, eve):
        assert send(client, who, MARKER).status_code == 201
    assert log.read_text().split().count("unwrap") == 1  # the check at the start

    client, components = start(values=values)
    sent = send(client, ada, f"{MARKER} again")
    with components.database.across_tenants().write() as session:
        assert session.scalar(select(Message.content).limit(1))
        assert len(session.scalars(select(Conversation)).all()) == 3

    assert sent.status_code == 201
    assert run(open_data(**values), "rotate_data_keys") == 2
    assert run(open_data(**values)).damaged == 0
    assert run(open_data(ENCRYPTION_KEY=new_key(), **values), "rewrap_data_keys") == 0
    assert len(find(start(values=values)[0], ada, MARKER)) == 4


def write_kms_command(folder):
    """Return a script that reverses keys, the log of its runs, and the variables that select it."""
    script, log = folder / "kms.py", folder / "kms.log"
    script.write_text(
        f"import sys\nopen({str(log)!r}, 'a').write('run ')\n"
        "print(sys.stdin.readline().strip()[::-1])\n"
    )
    return script, log, {"ENCRYPTION_KMS_COMMAND": f"{sys.executable} -S {script}"}


def test_failed_kms_command_is_not_repeated_at_once(start, ada, tmp_path):
    script, log, values = write_kms_command(tmp_path)
    client, _ = start(values=values)
    conversation_id = send(client, ada, MARKER).json["conversation_id"]
    client, _ = start(values=values)
    script.write_text(script.read_text() + "raise SystemExit(1)")
    log.write_text("")

    path = f"/conversations/{conversation_id}/messages"
    responses = [client.get(path, headers=ada) for _ in range(3)]

    assert [each.json["code"] for each in responses] == ["master_key_unavailable"] * 3
    assert log.read_text() == "run "


def test_concurrent_requests_run_the_kms_command_once(start, ada, tmp_path):
    _, log, values = write_kms_command(tmp_path)
    client, _ = start(values=values)
    conversation_id = send(client, ada, MARKER).json["conversation_id"]
    client, components = start(values=values)
    log.write_text("")

    with ThreadPoolExecutor(6) as executor:
        texts = list(
            executor.map(lambda _: read_first_text(components.database, conversation_id), range(6))
        )

    assert texts == [MARKER] * 6
    assert log.read_text() == "run "


def read_first_text(database, conversation_id):
    with database.read(TEAM) as session:
        query = select(Message).where(Message.conversation_id == conversation_id)
        return session.scalars(query.order_by(Message.seq)).first().content["text"]


def test_damaged_data_key_is_named_at_the_start(start, ada, key_file):
    client, components = start(key_file)
    send(client, ada, MARKER)
    with components.database.as_owner() as connection:
        key_id = connection.scalar(text("SELECT id FROM chat_data_keys"))
        connection.execute(text("UPDATE chat_data_keys SET wrapped = 'AAAA'"))

    with pytest.raises(SettingsError, match=f"{key_id} of the tenant {TEAM} in chat_data_keys is"):
        start(key_file)


@pytest.mark.usefixtures("sqlite_only")
def test_full_disk_is_not_taken_for_a_database_in_use(key_file, open_data, monkeypatch):
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    connection = Mock()
    connection.cursor.return_value.execute.side_effect = full
    data = open_data(key_file)
    reencryption = Reencryption.open(data, lambda *_: None)
    monkeypatch.setattr(data.database.engine, "raw_connection", lambda: connection)

    with pytest.raises(OSError, match=r"No space left on device: '.*chat\.db'"):
        reencryption.remove_deleted_text()
    data.database.engine.dispose()


def test_keys_are_wrapped_by_a_command_after_a_key_file(start, ada, key_file, tmp_path, open_data):
    script = tmp_path / "kms.py"
    script.write_text("import sys; print(sys.stdin.readline().strip()[::-1])")
    command = {"ENCRYPTION_KMS_COMMAND": f"{sys.executable} -S {script}"}
    client, _ = start(key_file)
    conversation_id = send(client, ada, MARKER).json["conversation_id"]

    assert run(open_data(key_file, **command), "rewrap_data_keys") == 1

    client, _ = start(values=command)
    assert read_texts(client, ada, conversation_id)[0] == MARKER
    script.write_text("raise SystemExit(1)")
    with pytest.raises(SettingsError, match="wrap failed"):
        start(values=command)


def test_start_with_a_failing_command_beside_the_key_file_is_refused(start, ada, key_file):
    client, _ = start(key_file)
    send(client, ada, MARKER)

    with pytest.raises(SettingsError, match="wrap failed with status 1"):
        start(
            values={
                "ENCRYPTION_KEY_FILE": str(key_file),
                "ENCRYPTION_KMS_COMMAND": "/bin/false",
            }
        )


def test_start_without_the_master_key_is_refused(start, ada, key_file):
    client, _ = start(key_file)
    send(client, ada, "Hello")

    with pytest.raises(SettingsError, match="Set ENCRYPTION_KEY_FILE"):
        start()
    key_file.write_text(new_key())
    with pytest.raises(SettingsError, match=r"master key [0-9a-f]{12}, which is not in"):
        start(key_file)


def test_changed_value_affects_its_message_only(start, ada, bob, key_file):
    client, components = start(key_file)
    conversation_id = send(client, ada, "first").json["conversation_id"]
    send(client, ada, "second", conversation_id=conversation_id)
    with components.database.write(TEAM) as session:
        table = Message.__table__
        rows = session.execute(select(table.c.number, table.c.content).order_by(table.c.seq)).all()
        # The value of another message of the same tenant.
        session.execute(
            update(table).where(table.c.number == rows[0].number).values(content=rows[2].content)
        )

    texts = read_texts(client, ada, conversation_id)

    assert texts == ["unsupported", "You said: first", "second", "You said: second"]
    messages = client.get(f"/conversations/{conversation_id}/messages", headers=ada).json["items"]
    assert messages[0]["content"]["error"] == "decryption_failed"
    assert send(client, bob, "other").status_code == 201


def test_damaged_file_is_reported(start, ada, key_file, settings):
    client, components = start(key_file)
    path = f"/conversations/{fill(client, ada, components)}/attachments/att_1"
    (file,) = (settings.folder / "attachments").iterdir()
    content = bytearray(file.read_bytes())

    content[100_000] ^= 1
    file.write_bytes(content)
    changed = client.get(path, headers=ada)
    file.write_bytes(content[:70_000])
    truncated = client.get(path, headers=ada)

    assert (changed.status_code, changed.json["code"]) == (500, "data_damaged")
    assert (truncated.status_code, truncated.json["code"]) == (500, "data_damaged")
    assert send(client, ada, "Hello").status_code == 201


def test_backup_contains_encrypted_files_and_wrapped_keys(start, ada, key_file, tmp_path):
    client, components = start(key_file)
    fill(client, ada, components)
    archive = Archive()
    with components.database.as_owner() as connection:
        contributor = ChatBackupContributor(components.files)
        assert contributor.write_members(connection, archive, lambda line: None) == []

    assert all(MARKER.encode() not in content for content in archive.members.values())
    restored = AttachmentFiles(tmp_path / "restored")
    for name, content in archive.members.items():
        ChatBackupContributor(restored).restore_member(Member(name, content))
    (file,) = (tmp_path / "restored").iterdir()
    assert file.read_bytes() == archive.members[f"chat/attachments/{file.name}"]
    with components.database.as_owner() as connection:
        encryption = EncryptionSettings.from_env(Env({"ENCRYPTION_KEY_FILE": str(key_file)}))
        assert find_master_key_problems("chat", connection, encryption) == []
        (problem,) = find_master_key_problems("chat", connection, EncryptionSettings())
        assert "ENCRYPTION_KEY_FILE" in problem
        assert connection.scalar(text("SELECT count(*) FROM chat_data_keys")) == 1


@pytest.mark.usefixtures("sqlite_only")
def test_files_are_not_encrypted_while_a_backup_is_taken(start, ada, key_file, open_data):
    client, components = start()
    fill(client, ada, components)
    blob = find_blob(components)
    contributor, archive, is_waiting = ChatBackupContributor(components.files), Archive(), Event()

    def report(name, _done, _total):
        if "waiting for a backup" in name:
            is_waiting.set()

    data = open_data(key_file)
    command = Thread(target=Reencryption.open(data, report).encrypt)
    with components.database.engine.connect() as snapshot:
        with contributor.hold_files():
            snapshot.execute(text("SELECT count(*) FROM chat_attachments"))
            command.start()
            assert is_waiting.wait(20)
            assert contributor.write_members(snapshot, archive, lambda _: None) == []
        command.join()
    data.database.engine.dispose()

    # The tables of the backup have no data key for an encrypted file.
    assert list(archive.members) == [f"chat/attachments/{blob}"]
    assert components.files.find_stored_path(blob).name == f"{blob}.sealed"


def find_blob(components):
    with components.database.read(TEAM) as session:
        return session.scalars(select(Attachment.blob)).one()


def test_search_words_are_hashed_again_if_the_text_does_not_change(start, ada, key_file):
    client, components = start(key_file)
    send(client, ada, MARKER)
    with components.database.write(TEAM) as session:
        message = session.scalars(select(Message).order_by(Message.seq)).first()
        # As for a transcript that is received twice.
        message.content, message.words = dict(message.content), MARKER.lower()

    with components.database.read(TEAM) as session:
        words = session.scalar(select(Message.words).order_by(Message.seq))
    assert MARKER.lower() not in words
    assert len(find(client, ada, MARKER)) == 2


def test_clear_copies_of_a_killed_run_are_counted_and_deleted(
    start, ada, key_file, open_data, settings, monkeypatch
):
    client, components = start()
    fill(client, ada, components)
    folder, blob = settings.folder / "attachments", find_blob(components)
    draft = folder / f".{blob}.0123456789abcdef"
    draft.write_bytes(FILE)
    os.utime(draft, (0, 0))
    monkeypatch.setattr(
        "backend.chassis.data_encryption.reencryption.delete_clear_copy", raise_interrupt
    )
    with pytest.raises(KeyboardInterrupt):
        run(open_data(key_file))
    assert {path.name for path in folder.iterdir()} == {blob, f"{blob}.sealed", draft.name}
    assert count(open_data(key_file))["chat/attachments"] == (2, 0, 2)
    monkeypatch.undo()

    run(open_data(key_file))

    assert [path.name for path in folder.iterdir()] == [f"{blob}.sealed"]
    assert count(open_data(key_file))["chat/attachments"] == (0, 0, 1)


def raise_interrupt(_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("killed_after", [1, 3])
def test_interrupted_decryption_is_continued(start, ada, key_file, open_data, killed_after):
    client, components = start(key_file)
    conversation_id = fill(client, ada, components)
    before = read_texts(client, ada, conversation_id)
    reports = []

    def report(*_):
        reports.append(1)
        if len(reports) == killed_after:
            raise KeyboardInterrupt

    data = open_data(key_file)
    with pytest.raises(KeyboardInterrupt):
        Reencryption.open(data, report).decrypt()
    data.database.engine.dispose()
    with pytest.raises(SettingsError, match="which is not in ENCRYPTION_KEY_FILE"):
        start()
    assert read_texts(start(key_file)[0], ada, conversation_id) == before

    assert run(open_data(key_file), "decrypt").damaged == 0

    client, _ = start()
    assert read_texts(client, ada, conversation_id) == before
    path = f"/conversations/{conversation_id}/attachments/att_1"
    assert client.get(path, headers=ada).data == FILE
