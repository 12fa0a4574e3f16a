"""Message templates: synchronised with the provider, page after page, and refused if rejected."""

from dataclasses import replace

import pytest

from backend.chassis.web.app_factory import get_component
from backend.security.outbound import AllowedHost
from backend.services.chat.app import create_app
from backend.services.chat.jobs.simulation.providers import WhatsAppSimulator
from backend.services.chat.jobs.waking import WorkerWaker
from backend.services.chat.store.tables import Conversation
from backend.services.chat.wiring import ChatComponents
from tests.services.chat.conftest import TEAM


@pytest.fixture
def whatsapp():
    with WhatsAppSimulator() as simulator:
        yield simulator


@pytest.fixture
def app(settings, identities, whatsapp):
    settings = replace(settings, private_hosts=(AllowedHost.parse(whatsapp.host),))
    app = identities.trust(create_app(settings))
    yield app
    get_component(app, WorkerWaker).stop()


@pytest.fixture
def account(client, manager, whatsapp):
    body = {
        "channel": "whatsapp",
        "name": "Shop",
        "settings": whatsapp.get_settings(),
        "credentials": whatsapp.get_credentials(),
    }
    return client.post("/accounts", json=body, headers=manager).json


@pytest.fixture
def conversation_id(components, account):
    now = components.now()
    with components.database.write(TEAM) as session:
        session.add(
            Conversation(
                id="conv_1",
                tenant_id=TEAM,
                account_id=account["id"],
                channel="whatsapp",
                key="user:15550001",
                created_at=now,
                updated_at=now,
            )
        )
    return "conv_1"


def sync(client, who, account):
    return client.post("/templates/sync", json={"account_id": account["id"]}, headers=who)


def list_templates(client, who):
    return client.get("/templates", headers=who).json["items"]


def template(name, status="APPROVED", **fields):
    listed = {"id": name, "name": name, "language": "en", "category": "UTILITY", "status": status}
    return listed | {"components": [{"type": "BODY", "text": name}]} | fields


def post_template(client, who, conversation_id, name):
    content = {"type": "template", "name": name, "language": "en"}
    path = f"/conversations/{conversation_id}/messages"
    return client.post(path, json={"content": content}, headers=who)


def test_sync_stores_all_pages_and_removes_what_is_no_longer_listed(
    client, manager, account, whatsapp
):
    whatsapp.max_page_size = 2
    whatsapp.templates = [template(f"t{number}") for number in range(5)]
    first = sync(client, manager, account)
    kept = {item["name"]: item["id"] for item in list_templates(client, manager)}
    whatsapp.templates = [
        template("t1", "REJECTED", rejected_reason="INVALID_FORMAT"),
        template("t1", language="de"),
    ]

    second = sync(client, manager, account)

    assert (first.status_code, first.json["listed"], first.json["removed"]) == (200, 5, 0)
    pages = [request for request in whatsapp.requests if "message_templates" in request.path]
    assert [page.query.get("after") for page in pages[:3]] == [None, "2", "4"]
    assert (second.json["listed"], second.json["removed"]) == (2, 4)
    stored = {item["language"]: item for item in list_templates(client, manager)}
    assert stored["en"]["id"] == kept["t1"]
    assert (stored["en"]["status"], stored["en"]["reason"]) == ("rejected", "INVALID_FORMAT")
    assert (stored["de"]["status"], stored["de"]["reason"]) == ("approved", None)
    assert stored["en"]["components"] == [{"type": "BODY", "text": "t1"}]


def test_sync_ignores_malformed_templates(client, manager, account, whatsapp):
    whatsapp.templates = [
        "text",
        {},
        template("x" * 600),
        template("n", language="much-too-long-language"),
        template("good", components="none", rejected_reason=7, category=None),
    ]

    assert sync(client, manager, account).json["listed"] == 1
    assert list_templates(client, manager)[0]["components"] == []


def test_sync_keeps_the_stored_templates_if_the_provider_fails(client, manager, account, whatsapp):
    sync(client, manager, account)
    whatsapp.is_revoked = True

    failed = sync(client, manager, account)

    assert (failed.status_code, failed.json["code"]) == (502, "provider_failed")
    assert len(list_templates(client, manager)) == 1


def test_sync_needs_a_whatsapp_account_of_the_tenant_with_its_business(
    client, manager, colleague, bearers, account
):
    settings = {"phone_number_id": "1"}
    client.patch(f"/accounts/{account['id']}", json={"settings": settings}, headers=manager)

    assert sync(client, manager, account).json["code"] == "templates_not_listed"
    assert sync(client, colleague, account).status_code == 403
    assert sync(client, manager, {"id": "acc_unknown"}).status_code == 404


def test_rejected_template_is_refused_before_anything_is_stored(
    client, manager, colleague, account, conversation_id, whatsapp
):
    whatsapp.templates = [template("bad", "REJECTED", rejected_reason="SCAM"), template("good")]
    sync(client, manager, account)

    refused = post_template(client, colleague, conversation_id, "bad")
    accepted = post_template(client, colleague, conversation_id, "good")
    unknown = post_template(client, colleague, conversation_id, "new")

    assert (refused.status_code, refused.json["code"]) == (409, "template_not_approved")
    assert "SCAM" in refused.json["detail"]
    assert (accepted.status_code, unknown.status_code) == (201, 201)


def test_template_that_the_provider_pauses_fails_and_is_refused_from_then_on(
    app, client, manager, colleague, account, conversation_id, whatsapp
):
    sync(client, manager, account)
    whatsapp.plan("template_paused")
    waiting = [post_template(client, colleague, conversation_id, "hello").json for _ in range(2)]
    engine = get_component(app, ChatComponents).open_delivery_engine()
    while engine.run_once():
        pass

    path = f"/conversations/{conversation_id}/messages"
    messages = {m["id"]: m for m in client.get(path, headers=colleague).json["items"]}
    codes = [messages[sent["id"]]["error"]["code"] for sent in waiting]
    assert codes == ["template_paused", "template_not_approved"]
    assert whatsapp.messages == []
    assert list_templates(client, manager)[0]["status"] == "paused"
    assert post_template(client, colleague, conversation_id, "hello").status_code == 409


def test_colleagues_list_templates_and_only_managers_synchronise_them(
    client, manager, colleague, ada, account, whatsapp
):
    whatsapp.templates = [template("late")]
    sync(client, manager, account)

    assert [item["name"] for item in list_templates(client, colleague)] == ["late"]
    assert sync(client, colleague, account).status_code == 403
    assert client.get("/templates", headers=ada).status_code == 403
