"""Accounts, contacts, hooks: managers of the tenant only, and no secret is returned."""

import pytest
from sqlalchemy import text

from backend.services.chat.clients.standard_webhooks import sign_json_webhook
from backend.services.chat.store.accounts import get_or_create_contact
from backend.services.chat.store.conversations import get_or_create_conversation
from tests.services.chat.conftest import TEAM

BOT = {
    "channel": "telegram",
    "name": "Bot",
    "settings": {"persona": "friendly"},
    "credentials": {"bot_token": "123:very-secret", "webhook_secret": "hush-hush"},
    "agent_key": "aas_sa.also-secret",
}


def test_account_never_returns_its_secrets(client, manager, components):
    created = client.post("/accounts", json=BOT, headers=manager)
    account = created.json

    listed = client.get("/accounts", headers=manager)
    changed = client.patch(
        f"/accounts/{account['id']}",
        json={
            "credentials": {"webhook_secret": None, "bot_token_previous": "third-secret"},
            "agent_key": "",
        },
        headers=manager,
    )

    assert created.status_code == 201
    assert account["credential_names"] == ["bot_token", "webhook_secret"]
    assert account["has_agent_key"] is True
    assert changed.json["credential_names"] == ["bot_token", "bot_token_previous"]
    assert changed.json["has_agent_key"] is False
    for response in (created, listed, changed):
        assert 'secret"' not in response.text.replace('_secret"', "")
        for secret in ("very-secret", "hush-hush", "also-secret", "third-secret"):
            assert secret not in response.text
    with components.database.across_tenants().read() as session:
        stored = session.execute(text("SELECT * FROM chat_accounts")).all()
    assert "very-secret" not in str(stored)


def test_every_tenant_has_an_account_for_web_chat(client, manager):
    (account,) = client.get("/accounts", headers=manager).json["items"]

    assert account["channel"] == "web"
    key = client.patch(
        f"/accounts/{account['id']}", json={"agent_key": "aas_sa.key"}, headers=manager
    ).json
    assert key["has_agent_key"] is True


def test_new_credentials_make_a_revoked_account_active(client, manager, components):
    account_id = client.post("/accounts", json=BOT, headers=manager).json["id"]
    with components.database.across_tenants().write() as session:
        session.execute(text("UPDATE chat_accounts SET state = 'revoked' WHERE channel <> 'web'"))

    changed = client.patch(
        f"/accounts/{account_id}", json={"credentials": {"bot_token": "1:new"}}, headers=manager
    )

    assert changed.json["state"] == "active"


def test_unknown_credentials_are_rejected_with_the_names_of_the_channel(client, manager):
    unknown = {"bot_token": "1:x", "token": "x"}
    created = client.post("/accounts", json=BOT, headers=manager).json
    path = f"/accounts/{created['id']}"

    responses = [
        client.post("/accounts", json=BOT | {"credentials": unknown}, headers=manager),
        client.patch(path, json={"credentials": unknown}, headers=manager),
    ]

    for response in responses:
        assert response.status_code == 422
        assert response.json["errors"] == [
            {
                "pointer": "#/credentials/token",
                "detail": "The channel uses bot_token, webhook_secret.",
            }
        ]
    assert client.get(path, headers=manager).json["updated_at"] == created["updated_at"]


def test_accounts_of_other_tenants_do_not_exist(client, manager, identities):
    account_id = client.post("/accounts", json=BOT, headers=manager).json["id"]
    stranger = identities.bearer("user-eve", permissions=("chat:manage",))
    path = f"/accounts/{account_id}"

    responses = [
        client.get(path, headers=stranger),
        client.patch(path, json={"name": "x"}, headers=stranger),
        client.delete(path, headers=stranger),
        client.post(f"{path}/check", headers=stranger),
    ]

    assert {(response.status_code, response.json["code"]) for response in responses} == {
        (404, "not_found")
    }
    assert client.delete(path, headers=manager).status_code == 204
    assert client.get(path, headers=manager).status_code == 404


@pytest.mark.parametrize("path", ["/accounts", "/contacts", "/hooks"])
def test_administration_needs_chat_manage(client, ada, colleague, manager, path):
    assert client.get(path, headers=ada).status_code == 403
    assert client.get(path, headers=colleague).status_code == 403
    assert client.get(path, headers=manager).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"channel": "pigeon", "name": "x"},
        {"channel": "web", "name": "x", "settings": {"origins": "https://shop.example"}},
        {"channel": "telegram", "name": " "},
        {"channel": "telegram", "name": "x", "credentials": {"Token": "x"}},
        {"channel": "telegram", "name": "x", "settings": {"a": "x" * 20_000}},
        {"channel": "telegram", "name": "x", "settings": {"On Busy": "wait"}},
        {"channel": "telegram", "name": "x", "settings": {"on_busy": "maybe"}},
        {"channel": "telegram", "name": "x", "settings": {"messages_per_second": "20"}},
        {"channel": "telegram", "name": "x", "settings": {"limits": {"contact_per_day": -1}}},
        {"channel": "telegram", "name": "x", "settings": {"limits": {"per_day": 10}}},
        {"channel": "telegram", "name": "x", "settings": {"media_hosts": "files.example"}},
        {"channel": "telegram", "name": "x", "settings": {"cache_answers": "yes"}},
        {"channel": "telegram", "name": "x", "agent_key": "ak_1"},
        {"channel": "telegram", "name": "x", "agent_key": "aas_sa."},
        {"channel": "telegram", "name": "x", "agent_key": "aas_sa.key "},
        {"channel": "telegram", "name": "x", "tenant_id": "other"},
        {"channel": "telegram", "name": "x", "state": "active"},
    ],
    ids=str,
)
def test_invalid_accounts_are_rejected(client, manager, body):
    assert client.post("/accounts", json=body, headers=manager).status_code == 422


def test_settings_are_stored_as_sent(client, manager):
    settings = {
        "phone_number_id": "1",
        "on_busy": "interrupt",
        "limits": {"contact_per_day": 10},
        "media_hosts": ["files.example"],
    }
    body = {"channel": "whatsapp", "name": "x", "settings": settings}

    account = client.post("/accounts", json=body, headers=manager).json
    path, change = f"/accounts/{account['id']}", {"settings": {"on_busy": "wait"}}

    assert account["settings"] == settings
    changed = client.patch(path, json=change, headers=manager).json
    assert changed["settings"] == {"on_busy": "wait"}


@pytest.fixture
def add_contact(client, manager, components):
    """Return a function that adds a contact with a conversation at one account."""
    account = client.post("/accounts", json=BOT, headers=manager).json["id"]

    def add(number, name):
        now = components.now()
        with components.database.across_tenants().write() as session:
            contact = get_or_create_contact(session, TEAM, account, [("id", number)], name, now)
            session.flush()
            get_or_create_conversation(
                session,
                {
                    "tenant_id": TEAM,
                    "account_id": account,
                    "channel": "telegram",
                    "key": f"user:{number}",
                    "contact_id": contact.id,
                    "title": "",
                    "is_group": False,
                    "status": "open",
                    "mode": "bot",
                    "last_seq": 0,
                    "change_seq": 0,
                    "answered_seq": 0,
                    "changed_seq": 0,
                    "answer_attempts": 0,
                    "details": {},
                    "created_at": now,
                    "updated_at": now,
                },
            )
            return contact.id

    return add


def test_contacts_are_found_merged_linked_and_erased(client, manager, add_contact):
    first, second = add_contact("101", "Ada"), add_contact("202", "Countess")

    found = client.get("/contacts?q=202", headers=manager).json["items"]
    linked = client.post(f"/contacts/{first}/link", json={"user_id": "user-ada"}, headers=manager)
    merged = client.post(f"/contacts/{second}/merge", json={"into_id": first}, headers=manager)

    assert [contact["id"] for contact in found] == [second]
    assert linked.json["user_id"] == "user-ada"
    assert [item["value"] for item in merged.json["identities"]] == ["101", "202"]
    assert client.get(f"/contacts/{second}", headers=manager).json["id"] == first
    assert len(client.get("/contacts", headers=manager).json["items"]) == 1
    own = client.post(f"/contacts/{first}/merge", json={"into_id": first}, headers=manager)
    assert own.status_code == 422
    again = client.post(f"/contacts/{second}/merge", json={"into_id": first}, headers=manager)
    assert (again.status_code, again.json["identities"]) == (200, merged.json["identities"])
    conversations = client.get(f"/conversations?contact_id={first}", headers=manager).json
    assert len(conversations["items"]) == 2

    assert client.delete(f"/contacts/{first}", headers=manager).status_code == 204

    assert client.get(f"/contacts/{first}", headers=manager).status_code == 404
    assert client.get("/conversations", headers=manager).json["items"] == []


def test_known_contact_keeps_its_name_and_gets_further_identities(client, manager, add_contact):
    contact_id = add_contact("101", "Ada")
    client.patch(f"/contacts/{contact_id}", json={"name": "Countess"}, headers=manager)

    again = add_contact("101", "Ada L.")

    assert again == contact_id
    contact = client.get(f"/contacts/{contact_id}", headers=manager).json
    assert (contact["name"], contact["attributes"]) == ("Countess", {})


def test_hook_returns_its_secret_once(client, manager):
    body = {"name": "CRM", "url": "https://crm.example.org/", "events": ["chat.message-created"]}
    created = client.post("/hooks", json=body, headers=manager)
    path = f"/hooks/{created.json['id']}"

    changed = client.patch(path, json={"is_enabled": False}, headers=manager)

    assert created.json["secret"].startswith("whsec_")
    assert "secret" not in client.get("/hooks", headers=manager).json["items"][0]
    assert changed.json["is_enabled"] is False
    assert client.delete(path, headers=manager).status_code == 204
    assert client.get("/hooks", headers=manager).json["items"] == []
    bad = client.post("/hooks", json=body | {"events": ["chat.unknown"]}, headers=manager)
    assert bad.status_code == 422


def test_hook_gets_the_events_that_it_subscribes_to(client, manager, ada, components):
    body = {"name": "CRM", "url": "https://crm.example.org/", "events": ["chat.message-created"]}
    client.post("/hooks", json=body, headers=manager)

    client.post("/message", json={"content": "Hello"}, headers=ada)

    deliveries = client.get("/deliveries", headers=manager).json["items"]
    assert [delivery["kind"] for delivery in deliveries] == ["event", "event"]
    with components.database.across_tenants().read() as session:
        payloads = session.scalars(text("SELECT payload FROM chat_deliveries")).all()
    assert "Hello" not in str(payloads)
    assert "chat.message-created" in str(payloads[0])


def test_check_reports_what_an_account_lacks(client, manager):
    created = client.post("/accounts", json={"channel": "generic", "name": "x"}, headers=manager)

    checked = client.post(f"/accounts/{created.json['id']}/check", headers=manager).json

    assert checked["error"]["code"] == "incomplete"
    assert checked["error"]["detail"] == "The account lacks these credentials: secret."
    assert checked["checked_at"] is not None


@pytest.fixture
def shop(client, manager):
    """A web account without a key whose origin is invalid, after a check."""
    settings = {"origins": ["https://shop.example/"]}
    body = {"channel": "web", "name": "Shop", "settings": settings}
    account = client.post("/accounts", json=body, headers=manager).json
    path = f"/accounts/{account['id']}"
    checked = client.post(f"{path}/check", headers=manager).json
    assert checked["error"]["code"] == "origins_invalid"
    return path


def test_check_reports_a_missing_agent_key_of_an_active_account(client, manager):
    settings = {"origins": ["https://shop.example"]}
    body = {"channel": "web", "name": "Shop", "settings": settings}
    path = f"/accounts/{client.post('/accounts', json=body, headers=manager).json['id']}"

    checked = client.post(f"{path}/check", headers=manager).json
    assert (checked["state"], checked["error"]["code"]) == ("active", "agent_key_missing")
    assert checked["error"]["detail"].startswith("Only people answer, because")

    changed = client.patch(path, json={"agent_key": "aas_sa.key"}, headers=manager).json
    assert changed["error"] is None
    assert client.post(f"{path}/check", headers=manager).json["error"] is None


def test_account_of_signed_in_users_needs_no_agent_key(client, manager):
    client.get("/accounts", headers=manager)

    checked = client.post("/accounts/web_tenant-team/check", headers=manager).json

    assert checked["error"] is None


def test_agent_key_of_another_format_is_rejected_without_repeating_it(client, manager, shop):
    response = client.patch(shop, json={"agent_key": "sk-typed-wrong"}, headers=manager)

    assert response.status_code == 422
    (error,) = response.json["errors"]
    assert error["pointer"] == "#/agent_key"
    assert "starts with aas_sa." in error["detail"]
    assert "typed-wrong" not in response.text


def test_corrected_settings_renew_the_error_of_a_check(client, manager, shop):
    def change(**body):
        error = client.patch(shop, json=body, headers=manager).json["error"]
        return error and error["code"]

    assert change(name="New name") == "origins_invalid"
    assert change(settings={"origins": ["shop.example"]}) == "origins_invalid"
    assert change(settings={"origins": ["https://shop.example"]}) == "agent_key_missing"


def test_settings_do_not_remove_the_error_of_a_revoked_account(client, manager, components):
    path = f"/accounts/{client.post('/accounts', json=BOT, headers=manager).json['id']}"
    with components.database.across_tenants().write() as session:
        session.execute(
            text(
                "UPDATE chat_accounts SET state = 'revoked', error = '{\"code\": \"401\"}' "
                "WHERE channel <> 'web'"
            )
        )

    changed = client.patch(path, json={"settings": {}}, headers=manager).json

    assert (changed["state"], changed["error"]) == ("revoked", {"code": "401"})


def test_replaced_secret_of_a_webhook_is_rejected_at_once(client, manager, components):
    old, new = ("whsec_" + letter * 32 for letter in "ab")
    created = client.post(
        "/accounts",
        json={"channel": "generic", "name": "Shop", "credentials": {"secret": old}},
        headers=manager,
    ).json
    body = b'{"type": "message", "data": {}}'

    def send_signed(secret, number):
        headers = sign_json_webhook(secret, f"msg_{number}", components.now(), body)
        return client.post(f"/webhook/generic/{created['id']}", data=body, headers=headers)

    assert send_signed(old, 1).status_code == 200
    client.patch(
        f"/accounts/{created['id']}", json={"credentials": {"secret": new}}, headers=manager
    )

    assert send_signed(old, 2).status_code == 401
    assert send_signed(new, 3).status_code == 200
