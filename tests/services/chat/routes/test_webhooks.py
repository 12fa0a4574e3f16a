"""Webhooks over HTTP: statuses, sizes, and the list of failed ones."""

import io
import json
from datetime import UTC, datetime

import pytest

from backend.services.chat.store.tables import Account, Inbound, Message
from tests.services.chat.conftest import TEAM
from tests.services.chat.domain.channels.normalising import telegram
from tests.services.chat.webhook_senders import CREDENTIALS, SECRET, sign

URL = "/webhook/telegram/acc_1"
HEADERS = {"X-Telegram-Bot-Api-Secret-Token": SECRET}


@pytest.fixture
def account(components):
    """An account of Telegram."""
    add_account(components, "telegram")


def add_account(components, channel, account_id="acc_1"):
    now = datetime.now(UTC)
    with components.database.write(TEAM) as session:
        session.add(
            Account(
                id=account_id,
                tenant_id=TEAM,
                channel=channel,
                name=channel,
                settings={},
                credentials=components.encryptor.encrypt_text(json.dumps(CREDENTIALS)),
                created_at=now,
                updated_at=now,
            )
        )


def count(components, table):
    with components.database.read(TEAM) as session:
        return session.query(table).count()


def test_webhook_is_stored_once(client, components, account):
    for _ in range(2):
        response = client.post(URL, json=telegram(text="hi"), headers=HEADERS)
        assert (response.status_code, response.data) == (200, b"")

    assert count(components, Message) == 1


def test_unsigned_webhook_is_401(client, components, account):
    response = client.post(URL, json=telegram(text="hi"))

    assert response.status_code == 401
    assert response.json["code"] == "invalid_signature"
    assert count(components, Inbound) == 0


@pytest.mark.parametrize(
    "url", ["/webhook/telegram/acc_9", "/webhook/slack/acc_1", "/webhook/fax/acc_1"]
)
def test_unknown_account_is_404(client, account, url):
    response = client.post(url, json=telegram(text="hi"), headers=HEADERS)

    assert response.status_code == 404


@pytest.mark.parametrize("chunked", [False, True])
def test_oversized_webhook_is_413(client, components, account, chunked):
    body = b"a" * (4 * 1024 * 1024 + 1)
    headers = HEADERS | {"Content-Type": "application/json"}

    response = client.post(
        URL,
        input_stream=io.BytesIO(body),
        headers=headers,
        content_length=None if chunked else len(body),
        environ_overrides={"wsgi.input_terminated": True} if chunked else {},
    )

    assert response.status_code == 413
    assert count(components, Inbound) == 0


def test_largest_webhook_is_read(client, components, account):
    text = "a" * (4 * 1024 * 1024 - 600)

    response = client.post(URL, json=telegram(text=text), headers=HEADERS)

    assert response.status_code == 200
    assert count(components, Message) == 1


def test_unreadable_webhook_is_listed_and_replayed(client, components, account, manager):
    client.post(URL, data=b"{", headers=HEADERS)

    page = client.get("/inbound?state=failed", headers=manager).json
    (item,) = page["items"]
    assert item["error"] == "The body is not valid JSON."
    assert (item["has_body"], page["next_cursor"]) == (True, None)

    response = client.post(f"/inbound/{item['id']}/replay", headers=manager)
    assert response.status_code == 422
    assert response.json["code"] == "webhook_unreadable"


def test_list_of_webhooks_has_pages(client, account, manager):
    for number in range(3):
        client.post(URL, json=telegram(text="hi", message_id=number), headers=HEADERS)

    first = client.get("/inbound?limit=2", headers=manager).json
    second = client.get(f"/inbound?limit=2&cursor={first['next_cursor']}", headers=manager).json

    assert [len(first["items"]), len(second["items"])] == [2, 1]


def test_received_webhooks_are_for_managers(client, account, ada, colleague):
    for caller in (ada, colleague):
        assert client.get("/inbound", headers=caller).status_code == 403
        assert client.post("/inbound/inb_1/replay", headers=caller).status_code == 403


def test_webhook_of_another_tenant_is_404(client, account, identities):
    client.post(URL, data=b"{", headers=HEADERS)
    other = identities.bearer("user-x", tenant_id="other", permissions=("chat:manage",))

    assert client.get("/inbound", headers=other).json["items"] == []
    assert client.post("/inbound/inb_1/replay", headers=other).status_code == 404


def test_meta_challenge_is_answered_as_text(client, components):
    add_account(components, "whatsapp")
    query = f"hub.mode=subscribe&hub.challenge=42&hub.verify_token={SECRET}"

    response = client.get(f"/webhook/whatsapp/acc_1?{query}")

    assert (response.status_code, response.text) == (200, "42")
    assert response.mimetype == "text/plain"
    assert client.get("/webhook/whatsapp/acc_1?hub.verify_token=x").status_code == 401


def test_twilio_signature_is_over_the_public_url(client, components):
    add_account(components, "twilio")
    body = b"MessageSid=SM1&From=%2B15550100&Body=hi&NumMedia=0"
    headers = sign("twilio", "https://chat.example.org/webhook/twilio/acc_1", body, 0)

    response = client.post(
        "/webhook/twilio/acc_1",
        data=body,
        headers=headers | {"Host": "10.0.0.7:5004"},
        content_type="application/x-www-form-urlencoded",
    )

    assert (response.status_code, response.text) == (200, "<Response/>")


def test_agent_answers_a_message_of_a_channel(client, components, account):
    client.post(URL, json=telegram(text="hi"), headers=HEADERS)

    jobs = {job.name: job for job in components.create_jobs()}
    assert any(job.get_next_due_time() is not None for job in jobs.values())
