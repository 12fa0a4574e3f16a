"""Links to files: signed, valid for a time, without a listing, and safe to open in a browser."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from backend.chassis.web.app_factory import get_component
from backend.security.outbound import AllowedHost
from backend.services.chat.app import create_app
from backend.services.chat.domain.new_messages import NewMessage
from backend.services.chat.domain.rendering.contents import render_content
from backend.services.chat.jobs.simulation.providers import TwilioSimulator
from backend.services.chat.jobs.waking import WorkerWaker
from backend.services.chat.store.attachment_files import AttachmentFiles
from backend.services.chat.store.tables import (
    Account,
    Attachment,
    Conversation,
    Delivery,
    Message,
)
from tests.services.chat.conftest import TEAM

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


@pytest.fixture
def clock():
    return [datetime.now(UTC)]


@pytest.fixture
def twilio():
    with TwilioSimulator() as simulator:
        yield simulator


@pytest.fixture
def app(settings, identities, clock, twilio):
    settings = replace(settings, private_hosts=(AllowedHost.parse(twilio.host),))
    app = identities.trust(create_app(settings, lambda: clock[0]))
    yield app
    get_component(app, WorkerWaker).stop()


@pytest.fixture
def attachment(components, settings, twilio):
    """A stored file that a contact has sent."""
    blob = AttachmentFiles(settings.folder / "attachments").add(PNG, TEAM)
    now = components.now()
    with components.database.write(TEAM) as session:
        common = {"tenant_id": TEAM, "created_at": now, "updated_at": now}
        session.add(
            Account(
                id="acc_1",
                channel="twilio",
                name="SMS",
                settings=twilio.get_settings(),
                credentials=components.encryptor.encrypt_text(json.dumps(twilio.get_credentials())),
                **common,
            )
        )
        session.flush()
        conversation = Conversation(
            id="conv_1", account_id="acc_1", channel="twilio", key="user:+15550002", **common
        )
        session.add(conversation)
        session.flush()
        message, _ = components.message_log.add_message(
            session, conversation, NewMessage("inbound", "contact:1", {"type": "image"})
        )
        session.add(
            Attachment(
                id="att_1",
                tenant_id=TEAM,
                conversation_id="conv_1",
                message_id=message.id,
                position=0,
                name="../photo of <me>.png",
                mime="image/png",
                size_bytes=len(PNG),
                blob=blob,
                state="stored",
                created_at=now,
            )
        )
    return "att_1"


def get_path(components, attachment):
    link = components.media_links.sign_fetch_link(attachment)
    assert link.startswith("https://chat.example.org/chat/media/")
    return link.removeprefix("https://chat.example.org/chat")


def test_signed_link_returns_the_file_without_credentials(client, components, attachment):
    response = client.get(get_path(components, attachment))

    assert (response.status_code, response.data) == (200, PNG)
    assert response.headers["Content-Type"] == "image/png"
    assert response.headers["Content-Disposition"] == "attachment; filename=photo_of_me.png"
    assert response.headers["Content-Security-Policy"].startswith("sandbox")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "private, no-store"
    assert client.head(get_path(components, attachment)).status_code == 200


@pytest.mark.parametrize(
    ("lifetime", "sign"), [(1, "sign_fetch_link"), (72, "sign_read_link")], ids=["fetch", "read"]
)
def test_link_expires(client, components, attachment, clock, lifetime, sign):
    link = getattr(components.media_links, sign)(attachment)
    path = link.removeprefix("https://chat.example.org/chat")
    clock[0] += timedelta(hours=lifetime, seconds=-2)
    assert client.get(path).status_code == 200

    clock[0] += timedelta(seconds=3)

    assert client.get(path).status_code == 404


CHANGES = {
    "signature": lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
    "file": lambda token: token.replace("att_1", "att_2"),
    "expiry": lambda token: token.replace(".", ".9", 1),
    "no signature": lambda token: token.rpartition(".")[0],
    "id only": lambda _token: "att_1",
    "empty parts": lambda _token: "att_1..",
    "not ASCII": lambda token: "\u00e9." + token,
    "too long": lambda token: token + "x" * 5000,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_link_is_not_found(client, components, attachment, change):
    _, _, token = get_path(components, attachment).rpartition("/")

    response = client.get(f"/media/{change(token)}")

    assert (response.status_code, response.json["code"]) == (404, "not_found")


def test_files_are_not_listed(client, manager):
    assert client.get("/media", headers=manager).status_code == 404
    assert client.get("/media/", headers=manager).status_code == 404


def test_link_to_a_deleted_file_is_not_found(client, components, attachment):
    path = get_path(components, attachment)
    with components.database.write(TEAM) as session:
        session.delete(session.get_one(Attachment, attachment))

    assert client.get(path).status_code == 404


def test_file_of_a_deleted_message_is_neither_linked_nor_sent(
    client, components, attachment, colleague
):
    path = get_path(components, attachment)
    with components.database.write(TEAM) as session:
        (message,) = session.scalars(select(Message)).all()
        conversation = session.get_one(Conversation, message.conversation_id)
        components.message_log.delete_message(session, conversation, message)

    assert client.get(path).status_code == 404
    assert post_file(client, colleague).json["code"] == "invalid_content"


def test_provider_gets_a_new_link_when_the_message_is_sent(
    client, components, attachment, clock, twilio
):
    file = {"id": attachment, "mime": "image/png", "size": len(PNG)}
    content = {"type": "image", "attachments": [file]}
    with components.database.write(TEAM) as session:
        conversation = session.get_one(Conversation, "conv_1")
        new = NewMessage("outbound", "user:1", content)
        components.message_log.add_message(session, conversation, new)
    clock[0] += timedelta(hours=20)

    components.open_delivery_engine().run_once()

    link = twilio.requests[-1].fields["MediaUrl"]
    assert client.get(link.removeprefix("https://chat.example.org/chat")).data == PNG
    with components.database.read(TEAM) as session:
        stored = session.query(Delivery).one().payload["part"]["media"]["link"]
    assert stored != link


def post_file(client, who, kind="image", attachment="att_1"):
    content = {"type": kind, "text": "As promised", "attachments": [{"id": attachment}]}
    return client.post("/conversations/conv_1/messages", json={"content": content}, headers=who)


def test_colleague_forwards_a_stored_file(client, components, attachment, colleague, twilio):
    posted = post_file(client, colleague)
    components.open_delivery_engine().run_once()

    assert posted.status_code == 201
    (sent,) = posted.json["attachments"]
    assert sent["id"] != attachment
    assert (sent["mime"], sent["size_bytes"], sent["state"]) == ("image/png", len(PNG), "stored")
    fields = twilio.requests[-1].fields
    assert fields["Body"] == "As promised"
    assert client.get(fields["MediaUrl"].removeprefix("https://chat.example.org/chat")).data == PNG


def test_file_that_is_not_stored_in_the_tenant_is_not_sent(
    client, components, attachment, colleague, identities, twilio
):
    with components.database.across_tenants().write() as session:
        session.get_one(Attachment, attachment).tenant_id = "another"

    for response in (
        post_file(client, colleague),
        post_file(client, colleague, attachment="att_unknown"),
    ):
        assert (response.status_code, response.json["code"]) == (422, "invalid_content")
        assert response.json["errors"][0]["pointer"] == "#/content/attachments/0/id"
    assert twilio.requests == []


def test_file_is_sent_only_with_a_type_that_it_has(client, attachment, colleague):
    assert post_file(client, colleague, kind="video").json["code"] == "invalid_content"
    assert post_file(client, colleague, kind="file").status_code == 201


def test_instagram_gets_links_and_messenger_uploads():
    content = {"type": "image", "attachments": [{"id": "a", "mime": "image/png", "size": 9}]}

    def sign(attachment_id):
        return f"https://x/{attachment_id}"

    def get_link(transport):
        part = render_content(content, "messenger", transport, sign_link=sign).parts[0]
        return part.media.link

    assert get_link("instagram") == "https://x/a"
    assert get_link("") is None
