"""Files that colleagues upload for their answers: limits of channels, delivery, deletion."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from backend.chassis.web.app_factory import get_component
from backend.security.outbound import AllowedHost
from backend.services.chat.app import create_app
from backend.services.chat.domain.media import uploads
from backend.services.chat.domain.media.uploads import clean_name
from backend.services.chat.jobs.simulation.providers import TelegramSimulator
from backend.services.chat.jobs.waking import WorkerWaker
from backend.services.chat.store.attachment_files import AttachmentFiles
from backend.services.chat.store.tables import Account, Conversation, Upload
from tests.services.chat.conftest import TEAM
from tests.services.chat.test_web_chat import send

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


@pytest.fixture
def clock():
    return [datetime.now(UTC)]


@pytest.fixture
def telegram():
    with TelegramSimulator() as simulator:
        yield simulator


@pytest.fixture
def app(settings, identities, clock, telegram):
    settings = replace(settings, private_hosts=(AllowedHost.parse(telegram.host),))
    app = identities.trust(create_app(settings, lambda: clock[0]))
    yield app
    get_component(app, WorkerWaker).stop()


@pytest.fixture
def open_conversation(components, telegram):
    """Return a function that adds a conversation of a channel and returns its id."""

    def add(channel="telegram", key="user:42", **details):
        now = components.now()
        common = {"tenant_id": TEAM, "created_at": now, "updated_at": now}
        credentials = json.dumps(telegram.get_credentials())
        with components.database.write(TEAM) as session:
            account = Account(
                id=f"acc_{channel}",
                channel=channel,
                name="Shop",
                settings=telegram.get_settings(),
                credentials=components.encryptor.encrypt_text(credentials),
                **common,
            )
            session.add(account)
            session.flush()
            session.add(
                Conversation(
                    id=f"conv_{channel}",
                    account_id=account.id,
                    channel=channel,
                    key=key,
                    details={"chat_id": "42"} | details,
                    last_inbound_at=now,
                    **common,
                )
            )
        return f"conv_{channel}"

    return add


def upload(client, who, conversation_id, content=PNG, name="photo.png", **form):
    data = {"file": (io.BytesIO(content), name), **form}
    return client.post(f"/conversations/{conversation_id}/attachments", data=data, headers=who)


def post(client, who, conversation_id, file, kind=None, **fields):
    content = {"type": kind or file["type"], "text": "Here", "attachments": [{"id": file["id"]}]}
    body = {"content": content, **fields}
    return client.post(f"/conversations/{conversation_id}/messages", json=body, headers=who)


def count_files(settings):
    folder = AttachmentFiles(settings.folder / "attachments")
    return len(list(folder.list_older_than(datetime.now(UTC) + timedelta(days=9))))


def test_uploaded_file_is_sent_with_the_answer(
    client, components, colleague, open_conversation, telegram
):
    conversation_id = open_conversation()
    file = upload(client, colleague, conversation_id).json

    posted = post(client, colleague, conversation_id, file)
    components.open_delivery_engine().run_once()

    assert (file["type"], file["mime"], file["size_bytes"]) == ("image", "image/png", len(PNG))
    assert posted.status_code == 201
    (sent,) = posted.json["attachments"]
    assert (sent["name"], sent["state"], sent["size_bytes"]) == ("photo.png", "stored", len(PNG))
    path = f"/conversations/{conversation_id}/attachments/{sent['id']}"
    assert client.get(path, headers=colleague).data == PNG
    assert PNG in telegram.requests[-1].body


def test_repeated_message_with_an_uploaded_file_returns_the_first(
    client, colleague, open_conversation
):
    conversation_id = open_conversation()
    file = upload(client, colleague, conversation_id).json

    first = post(client, colleague, conversation_id, file, client_id="m-1")
    repeated = post(client, colleague, conversation_id, file, client_id="m-1")
    other = post(client, colleague, conversation_id, file, client_id="m-2")

    assert (repeated.status_code, repeated.json["id"]) == (200, first.json["id"])
    assert (other.status_code, other.json["code"]) == (422, "invalid_content")


def test_upload_is_usable_by_its_author_and_in_its_conversation_only(
    client, bearers, colleague, open_conversation
):
    telegram, web = open_conversation(), open_conversation("generic")
    file = upload(client, colleague, telegram).json

    assert post(client, bearers("carl", "support"), telegram, file).status_code == 422
    assert post(client, colleague, web, file).status_code == 422
    assert post(client, colleague, telegram, file).status_code == 201


def test_upload_requires_chat_reply_and_a_visible_conversation(
    client, ada, colleague, bearers, identities, open_conversation
):
    own = send(client, ada).json["conversation_id"]
    foreign = identities.bearer("user-x", tenant_id="tenant-x", permissions=("chat:reply",))

    assert upload(client, ada, own).status_code == 403
    assert upload(client, foreign, own).status_code == 404
    assert upload(client, colleague, "conv_unknown").status_code == 404
    assert upload(client, colleague, own).status_code == 201


@pytest.mark.parametrize(
    ("channel", "details", "size", "name", "code"),
    [
        ("whatsapp", {}, 5_000_001, "photo.png", None),  # sent as a document
        ("telegram", {}, 25_000_001, "film.bin", "file_too_large"),
        ("messenger", {"platform": "instagram"}, 8_000_001, "photo.png", "file_too_large"),
        ("messenger", {"platform": "instagram"}, 200, "text.txt", "file_type_not_supported"),
        ("teams", {}, 200, "text.txt", None),  # a link
    ],
)
def test_channel_limits_size_and_type(
    client, colleague, open_conversation, channel, details, size, name, code
):
    conversation_id = open_conversation(channel, **details)
    start = b"text" if name.endswith(".txt") else PNG
    content = start + (b" " if start == b"text" else b"\0") * (size - len(start))

    response = upload(client, colleague, conversation_id, content, name)

    assert response.json.get("code") == code
    assert response.status_code == {
        None: 201,
        "file_too_large": 413,
        "file_type_not_supported": 415,
    }.get(code)


def test_phone_call_has_no_files(client, colleague, open_conversation):
    conversation_id = open_conversation("twilio", key="call:CA1")

    assert upload(client, colleague, conversation_id).json["code"] == "file_type_not_supported"


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        ({"file": (io.BytesIO(b""), "empty.txt")}, 422, "empty_file"),
        ({}, 422, "validation_failed"),
        ({"file": "not a file"}, 422, "validation_failed"),
        ({"file": (io.BytesIO(b"x"), "x"), "more": "x"}, 422, "validation_failed"),
        ({"other": (io.BytesIO(b"x"), "x")}, 422, "validation_failed"),
    ],
)
def test_other_forms_are_rejected(client, colleague, open_conversation, data, status, code):
    path = f"/conversations/{open_conversation()}/attachments"

    response = client.post(
        path, data=data, content_type="multipart/form-data; boundary=x", headers=colleague
    )

    assert (response.status_code, response.json["code"]) == (status, code)
    assert client.post(path, json={}, headers=colleague).status_code == 415


def test_type_is_that_of_the_bytes(client, colleague, open_conversation):
    conversation_id = open_conversation()

    page = upload(client, colleague, conversation_id, b"<script>alert(1)</script>", "page.png").json

    assert (page["type"], page["mime"]) == ("file", "text/plain")


def test_waiting_files_are_bounded(client, colleague, open_conversation, settings, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_WAITING_BYTES", 2 * len(PNG))
    conversation_id = open_conversation()
    first = upload(client, colleague, conversation_id).json
    upload(client, colleague, conversation_id)

    response = upload(client, colleague, conversation_id)

    assert (response.status_code, response.json["code"]) == (409, "too_many_uploads")
    assert count_files(settings) == 2
    post(client, colleague, conversation_id, first)
    assert upload(client, colleague, conversation_id).status_code == 201


def test_file_without_a_message_is_deleted_after_a_day(
    client, components, colleague, open_conversation, settings, clock
):
    conversation_id = open_conversation()
    used, unused = (upload(client, colleague, conversation_id).json for _ in range(2))
    post(client, colleague, conversation_id, used)
    clock[0] += timedelta(hours=23)
    assert components.downloads.delete_orphans() == 0

    clock[0] += timedelta(hours=2)

    assert post(client, colleague, conversation_id, unused).status_code == 422
    assert components.downloads.delete_orphans() == 1
    assert count_files(settings) == 1
    with components.database.read(TEAM) as session:
        assert session.query(Upload).all() == []


def test_uploads_are_deleted_with_their_conversation(
    client, components, manager, open_conversation
):
    conversation_id = open_conversation()
    upload(client, manager, conversation_id)

    client.delete(f"/conversations/{conversation_id}", headers=manager)

    with components.database.read(TEAM) as session:
        assert session.query(Upload).all() == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\files\\photo.png", "photo.png"),
        ("invoice\u202egnp.exe", "invoicegnp.exe"),
        ("a\x00b\n.txt", "ab.txt"),
        ("x" * 300 + ".pdf", "x" * 251 + ".pdf"),
        ("", "file"),
        ("..", "file"),
        (".png", "png"),
        ("<img>.png", "img.png"),
    ],
)
def test_names_are_safe(name, expected):
    assert clean_name(name) == expected
