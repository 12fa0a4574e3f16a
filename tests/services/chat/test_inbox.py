"""The team inbox: contacts, accounts and last messages in lists, filters, and files."""

from datetime import timedelta

import pytest

from backend.services.chat.domain.new_messages import NewMessage
from backend.services.chat.store.attachment_files import AttachmentFiles
from backend.services.chat.store.tables import (
    Account,
    Attachment,
    Contact,
    Conversation,
    Identity,
)
from tests.services.chat.conftest import TEAM

PNG = b"\x89PNG\r\n\x1a\n..."


@pytest.fixture
def receive(components):
    """Return a function that stores a message of a WhatsApp contact. Returns the message."""

    def receive_message(key, text="Hello", name="", **columns):
        now = components.now()
        with components.database.write(TEAM) as session:
            if session.get(Account, "acc_wa") is None:
                account = Account(id="acc_wa", channel="whatsapp", name="Shop", **_owned(now))
                session.add(account)
            if session.get(Conversation, f"conv_{key}") is None:
                session.add(Contact(id=f"cont_{key}", name=name, **_owned(now)))
                session.flush()
                session.add(
                    Identity(
                        id=f"idn_{key}",
                        tenant_id=TEAM,
                        account_id="acc_wa",
                        contact_id=f"cont_{key}",
                        scheme="number",
                        value=f"4917{key}",
                        created_at=now,
                    )
                )
                session.add(
                    Conversation(
                        id=f"conv_{key}",
                        account_id="acc_wa",
                        channel="whatsapp",
                        key=f"user:{key}",
                        contact_id=f"cont_{key}",
                        last_inbound_at=now,
                        **_owned(now) | columns,
                    )
                )
                session.flush()
            conversation = session.get_one(Conversation, f"conv_{key}")
            new = NewMessage("inbound", f"contact:cont_{key}", {"type": "text", "text": text})
            return components.message_log.add_message(session, conversation, new)[0].id

    return receive_message


def _owned(now):
    return {"tenant_id": TEAM, "created_at": now, "updated_at": now}


def listed(client, who, query=""):
    return client.get(f"/conversations{query}", headers=who).json["items"]


def test_list_shows_contact_account_and_last_message(client, colleague, receive, components):
    receive("1", "First", name="Grace Hopper")
    receive("1", "Where is   my\norder?")
    receive("2")

    items = {item["id"]: item for item in listed(client, colleague)}

    grace = items["conv_1"]
    assert (grace["contact_name"], items["conv_2"]["contact_name"]) == ("Grace Hopper", "49172")
    assert (grace["account_name"], grace["account_state"]) == ("Shop", "active")
    assert grace["last_message"]["text"] == "Where is my order?"
    assert grace["last_message"]["author"] == "contact:cont_1"
    assert grace["last_seq"] - grace["read_seq"] == 2
    assert grace["window_closes_at"] > (components.now() + timedelta(hours=23)).isoformat()


def test_web_conversation_has_no_window_and_hides_notes_from_its_owner(client, ada, colleague):
    sent = client.post("/message", json={"content": "Hello"}, headers=ada).json
    path = f"/conversations/{sent['conversation_id']}"
    note = {"content": "Be kind.", "internal": True}
    client.post(f"{path}/messages", json=note, headers=colleague)

    (own,), (team,) = listed(client, ada), listed(client, colleague)

    assert own["window_closes_at"] is None
    assert own["last_message"]["text"] == "You said: Hello"
    assert team["last_message"]["text"] == "Be kind."
    assert team["last_message"]["internal"] is True


def test_list_is_filtered_by_ids_and_by_assignment(client, colleague, receive):
    for key in ("1", "2", "3"):
        receive(key)
    client.patch("/conversations/conv_2", json={"assignee_id": "user-cleo"}, headers=colleague)

    def ids(query):
        return {item["id"] for item in listed(client, colleague, query)}

    assert ids("?assigned=true") == {"conv_2"}
    assert ids("?assigned=false") == {"conv_1", "conv_3"}
    assert ids("?ids=conv_1,conv_2,conv_9") == {"conv_1", "conv_2"}
    assert ids("?ids=conv_1,conv_2&assignee_id=user-cleo") == {"conv_2"}
    assert client.get("/conversations?ids=a%20b", headers=colleague).status_code == 422


def test_file_of_a_message_is_shown_only_if_its_type_is_harmless(
    client, colleague, ada, receive, components
):
    message_id = receive("1")
    files = AttachmentFiles(components.settings.folder / "attachments")
    with components.database.write(TEAM) as session:
        for position, mime in enumerate(("image/png", "text/html", "audio/ogg")):
            session.add(
                Attachment(
                    id=f"att_{position}",
                    tenant_id=TEAM,
                    conversation_id="conv_1",
                    message_id=message_id,
                    position=position,
                    name="photo",
                    mime=mime,
                    state="stored",
                    blob=files.add(PNG, TEAM),
                    created_at=components.now(),
                )
            )
    path = "/conversations/conv_1/attachments"

    shown, downloaded, played = (
        client.get(f"{path}/att_{number}", headers=colleague) for number in range(3)
    )

    assert (shown.status_code, shown.data, shown.mimetype) == (200, PNG, "image/png")
    assert shown.headers["Content-Disposition"] == "inline"
    assert played.headers["Content-Disposition"] == "inline"
    assert downloaded.headers["Content-Disposition"].startswith("attachment")
    for response in (shown, downloaded):
        assert response.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert client.get(f"{path}/att_9", headers=colleague).status_code == 404
    assert client.get(f"{path}/att_0", headers=ada).json["code"] == "conversation_not_found"


def test_deliveries_are_filtered_by_conversation_and_account(client, colleague, receive):
    for key in ("1", "2"):
        receive(key)
        body = {"content": "On its way."}
        client.post(f"/conversations/conv_{key}/messages", json=body, headers=colleague)

    (item,) = client.get("/deliveries?conversation_id=conv_2", headers=colleague).json["items"]
    waiting = client.get("/deliveries?account_id=acc_wa&state=queued", headers=colleague).json

    assert item["conversation_id"] == "conv_2"
    assert len(waiting["items"]) == 2
    assert client.get("/deliveries?account_id=acc_x", headers=colleague).json["items"] == []


def test_only_one_of_two_people_claims_a_conversation(client, colleague, manager, receive):
    receive("1")
    claims = [
        client.patch(
            "/conversations/conv_1",
            json={"assignee_id": user_id, "mode": "human", "expected_assignee_id": None},
            headers=headers,
        )
        for user_id, headers in (("user-cleo", colleague), ("user-mia", manager))
    ]

    assert [claim.status_code for claim in claims] == [200, 409]
    assert claims[1].json["code"] == "taken"
    assert client.get("/conversations/conv_1", headers=manager).json["assignee_id"] == "user-cleo"
    taken_over = {"assignee_id": "user-mia", "expected_assignee_id": "user-cleo"}
    response = client.patch("/conversations/conv_1", json=taken_over, headers=manager)
    assert response.json["assignee_id"] == "user-mia"


def test_replaced_secret_stays_valid_until_it_is_removed(client, manager):
    bot = {"channel": "slack", "name": "Bot", "credentials": {"signing_secret": "one"}}
    path = f"/accounts/{client.post('/accounts', json=bot, headers=manager).json['id']}"

    rotated = client.patch(
        path,
        json={"credentials": {"signing_secret": "two"}, "keep_previous": True},
        headers=manager,
    )
    removed = client.patch(
        path, json={"credentials": {"signing_secret_previous": None}}, headers=manager
    )

    assert rotated.json["credential_names"] == ["signing_secret", "signing_secret_previous"]
    assert removed.json["credential_names"] == ["signing_secret"]
