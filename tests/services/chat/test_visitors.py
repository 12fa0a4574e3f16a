"""Visitors of web pages: sessions, origins, messages, and what they must not see."""

import html
import json
import re
import time
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from backend.chassis.web.app_factory import get_component
from backend.services.chat.app import create_app
from backend.services.chat.domain.visitors.streams import VisitorStreams
from backend.services.chat.errors import TooManyStreams
from backend.services.chat.jobs.waking import WorkerWaker
from tests.services.agent.fakes import parse_numbered_events
from tests.services.chat.test_event_streams import Stream

SHOP = "https://shop.example"
OTHER = "https://other.example"
SUITE = "https://chat.example.org"


class Clock:
    """A clock that tests move."""

    def __init__(self):
        self.offset = timedelta(0)

    def __call__(self):
        return datetime.now(UTC) + self.offset


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def app(settings, identities, clock):
    app = identities.trust(create_app(settings, clock))
    yield app
    get_component(app, WorkerWaker).stop()


@pytest.fixture
def create_account(client, manager):
    """Return a function that creates an account of web chat, and returns its id."""

    def create(origins=(SHOP, OTHER), **settings):
        body = {
            "channel": "web",
            "name": "Shop",
            "settings": {"origins": list(origins), **settings},
            "agent_key": "aas_sa.secret",
        }
        response = client.post("/accounts", json=body, headers=manager)
        assert response.status_code == 201, response.text
        return response.json["id"]

    return create


@pytest.fixture
def account(create_account):
    return create_account()


def open_session(client, account, origin=SHOP, token=None, **body):
    headers = {"Origin": origin} if origin else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return client.post(f"/web/{account}/sessions", json=body, headers=headers)


class Visitor:
    """Sends requests of one session."""

    def __init__(self, client, account, origin=SHOP):
        self.client, self.account = client, account
        opened = open_session(client, account, origin)
        assert opened.status_code == 201, opened.text
        self.token = opened.json["token"]
        self.headers = {"Origin": origin, "Authorization": f"Bearer {self.token}"}

    def call(self, method, path, headers=None, **options):
        url = f"/web/{self.account}{path}"
        return self.client.open(url, method=method, headers=headers or self.headers, **options)

    def send(self, text="Hello", **fields):
        return self.call("POST", "/messages", json={"content": text, **fields})

    def list_texts(self):
        return [item["text"] for item in self.call("GET", "/messages").json["items"]]

    def wait_for(self, text):
        for _ in range(300):
            if text in self.list_texts():
                return
            time.sleep(0.02)
        raise AssertionError(f"{text!r} is not in {self.list_texts()}")


@pytest.fixture
def visitor(client, account):
    return Visitor(client, account)


def find_conversation(client, colleague):
    (found,) = client.get("/conversations", headers=colleague).json["items"]
    return found


def test_first_message_is_answered_with_the_permissions_of_the_account(
    visitor, agent, client, colleague
):
    sent = visitor.send("Where is my parcel?", client_id="m-1")

    assert sent.status_code == 201
    assert sent.json["author"] == "visitor"
    visitor.wait_for("You said: Where is my parcel?")
    assert agent.exchanges == [{"key": "aas_sa.secret"}]
    assert agent.queries[0]["authorization"] == "Bearer token-of-account"
    found = find_conversation(client, colleague)
    assert (found["channel"], found["owner_id"], found["account_name"]) == ("web", None, "Shop")
    assert found["contact_name"].startswith("vis_")
    assert found["title"] == "Where is my parcel?"


def test_session_response_sets_no_cookie_and_stores_nothing(client, account, manager):
    opened = open_session(client, account)

    assert opened.status_code == 201
    assert "Set-Cookie" not in opened.headers
    assert opened.headers["Access-Control-Allow-Origin"] == SHOP
    assert client.get("/contacts", headers=manager).json["items"] == []


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "https://shop.example.evil", "http://shop.example", None, "null",
     SUITE, "https://SHOP.example", "https://shop.example:444", "x" * 5000],
)  # fmt: skip
def test_session_is_refused_for_other_origins(client, account, origin):
    response = open_session(client, account, origin)

    assert (response.status_code, response.json["code"]) == (403, "origin_not_allowed")
    allowed = "null" if origin == "null" else None
    assert response.headers.get("Access-Control-Allow-Origin") == allowed
    assert "Origin" in response.headers["Vary"]


def test_frame_page_opens_a_session_with_its_ticket(client, account):
    page = client.get(f"/web/{account}")
    ticket = read_config(page)["ticket"]

    for origin in (SUITE, "http://localhost", "null"):
        assert open_session(client, account, origin, ticket=ticket).status_code == 201
    for origin in ("https://evil.example", None):
        assert open_session(client, account, origin, ticket=ticket).status_code == 403
    assert open_session(client, account, "null", ticket=f"{ticket}x").status_code == 403


def read_config(page):
    """Return what the script of the frame page gets."""
    found = re.search(r'data-config="([^"]*)"', page.text)
    return json.loads(html.unescape(found[1]))


def test_ticket_of_another_account_or_an_old_one_is_refused(client, account, create_account, clock):
    ticket = read_config(client.get(f"/web/{account}"))["ticket"]
    other = create_account()

    assert open_session(client, other, "null", ticket=ticket).status_code == 403
    clock.offset = timedelta(hours=25)
    assert open_session(client, account, "null", ticket=ticket).status_code == 403


def test_ticket_is_no_token_and_a_token_is_no_ticket(client, account, visitor):
    ticket = read_config(client.get(f"/web/{account}"))["ticket"]
    headers = {"Origin": SHOP, "Authorization": f"Bearer {ticket}"}

    assert visitor.call("GET", "/messages", headers=headers).status_code == 401
    assert open_session(client, account, "null", ticket=visitor.token).status_code == 403


def test_renewed_session_keeps_contact_and_conversation(client, account, visitor, clock, colleague):
    visitor.send("One")
    visitor.wait_for("You said: One")

    same = open_session(client, account, token=visitor.token)
    clock.offset = timedelta(days=5)
    renewed = open_session(client, account, token=visitor.token)

    assert (same.status_code, same.json["token"]) == (200, visitor.token)
    assert renewed.status_code == 201
    assert renewed.json["token"] != visitor.token
    clock.offset = timedelta(days=8)
    assert visitor.call("GET", "/messages").status_code == 401
    visitor.headers["Authorization"] = f"Bearer {renewed.json['token']}"
    visitor.send("Two")
    visitor.wait_for("You said: Two")
    assert visitor.list_texts()[0] == "One"
    assert find_conversation(client, colleague)["last_seq"] == 4


def test_invalid_tokens_get_401_on_every_route(client, account, visitor, create_account, manager):
    visitor.send()
    foreign = Visitor(client, create_account())
    claims = jwt.decode(visitor.token, options={"verify_signature": False})
    forged = [
        jwt.encode(claims, "x" * 32, "HS256"),
        jwt.encode(claims, None, "none"),
        visitor.token[:-3] + "abc",
        foreign.token,
        "é",
        "a.b.c",
        "x" * 10_000,
    ]
    authorizations = [f"Bearer {token}" for token in forged]
    authorizations += ["", "Basic eDp5", manager["Authorization"]]

    for authorization in authorizations:
        headers = {"Origin": SHOP, "Authorization": authorization}
        responses = [
            visitor.call("GET", "/messages", headers),
            visitor.call("POST", "/messages", headers, json={"content": "x"}),
            visitor.call("PUT", "/read", headers, json={"seq": 1}),
            visitor.call("POST", "/typing", headers),
            visitor.call("GET", "/events", headers),
        ]
        assert {response.status_code for response in responses} == {401}, authorization
        assert responses[0].json["code"] == "visitor_token_rejected"
    for token in forged:
        assert open_session(client, account, token=token).status_code == 401


def test_expired_token_gets_401(visitor, clock):
    clock.offset = timedelta(days=7, seconds=1)

    assert visitor.call("GET", "/messages").status_code == 401
    assert open_session(visitor.client, visitor.account, token=visitor.token).status_code == 401


def test_session_of_another_origin_gets_403_with_its_reason(client, account, visitor):
    headers = visitor.headers | {"Origin": OTHER}

    used = visitor.call("GET", "/messages", headers)
    renewed = open_session(client, account, OTHER, token=visitor.token)

    for response in (used, renewed):
        assert (response.status_code, response.json["code"]) == (403, "other_origin")
        assert SHOP in response.json["detail"]
        assert OTHER in response.json["detail"]


def test_session_ends_when_its_site_is_removed_or_the_account_stopped(
    client, account, visitor, manager
):
    change = {"settings": {"origins": [OTHER]}}
    client.patch(f"/accounts/{account}", json=change, headers=manager)
    removed = visitor.call("GET", "/messages")
    change = {"settings": {"origins": [SHOP]}, "state": "stopped"}
    client.patch(f"/accounts/{account}", json=change, headers=manager)
    stopped = visitor.call("GET", "/messages")

    assert (removed.status_code, removed.json["code"]) == (403, "origin_not_allowed")
    assert (stopped.status_code, stopped.json["code"]) == (409, "account_stopped")
    assert open_session(client, account).status_code == 409
    assert read_config(client.get(f"/web/{account}"))["isOpen"] is False


def test_visitors_see_their_own_conversation_only(client, account, visitor):
    second = Visitor(client, account)
    visitor.send("My number is 42.")
    visitor.wait_for("You said: My number is 42.")

    assert second.list_texts() == []
    for method, path, body in (
        ("PUT", "/read", {"seq": 1}),
        ("POST", "/typing", {"typing": True}),
        ("GET", "/events", None),
    ):
        response = second.call(method, path, json=body)
        assert (response.status_code, response.json["code"]) == (404, "conversation_not_found")
    second.send("Hello")
    second.wait_for("You said: Hello")
    assert visitor.list_texts() == ["My number is 42.", "You said: My number is 42."]


def test_token_of_a_visitor_opens_no_other_route(client, visitor, colleague):
    visitor.send()
    conversation_id = find_conversation(client, colleague)["id"]

    for path in (f"/conversations/{conversation_id}", "/conversations", "/accounts", "/contacts"):
        assert client.get(path, headers=visitor.headers).status_code == 401


def test_internal_notes_and_errors_stay_in_the_team(client, visitor, colleague, manager):
    visitor.send("Hello")
    visitor.wait_for("You said: Hello")
    path = f"/conversations/{find_conversation(client, colleague)['id']}"
    note = {"content": "A difficult customer.", "internal": True}
    client.post(f"{path}/messages", json=note, headers=colleague)
    answer = client.post(f"{path}/messages", json={"content": "I help you."}, headers=colleague)

    listed = visitor.call("GET", "/messages")
    events = read_events(visitor, last_id=0, until="I help you.")

    assert answer.status_code == 201
    assert visitor.list_texts() == ["Hello", "You said: Hello", "I help you."]
    assert [item["author"] for item in listed.json["items"]] == [
        "visitor", "assistant", "colleague",
    ]  # fmt: skip
    assert listed.json["state"] == {"status": "open", "mode": "human", "has_failed": False}
    everything = listed.text + str(events)
    for secret in ("difficult", "user-cleo", "tenant-team", "search_documents", "doc_1"):
        assert secret not in everything
    assert ("state", listed.json["state"]) in events


def read_events(visitor, last_id, until):
    """Return the (name, data) of an event stream up to the message *until*."""
    headers = visitor.headers | {"Last-Event-ID": str(last_id)}
    response = visitor.call("GET", "/events", headers)
    assert response.status_code == 200, response.text
    received = b""
    for chunk in response.response:
        received += chunk
        if until.encode() in received:
            break
    response.close()
    return [(name, data) for _, name, data in parse_numbered_events(received.decode())]


def test_stream_sends_deltas_and_the_answer(visitor, agent):
    visitor.send("One")
    visitor.wait_for("You said: One")
    agent.held = ("Two",)
    visitor.send("Two")
    agent.is_writing.wait(5)
    agent.release.set()

    events = read_events(visitor, last_id=2, until="You said: Two")

    assert events[0][0] == "open"
    assert [data["text"] for name, data in events if name == "message"] == ["Two", "You said: Two"]


def test_streams_are_limited_and_their_slots_are_returned(visitor, app):
    visitor.send("One")
    visitor.wait_for("You said: One")
    for _ in range(3):
        read_events(visitor, last_id=0, until="You said: One")
    slots = get_component(app, VisitorStreams)
    claims = jwt.decode(visitor.token, options={"verify_signature": False})
    for _ in range(2):
        slots.acquire(claims["visitor"])

    refused = visitor.call("GET", "/events")

    assert (refused.status_code, refused.json["code"]) == (503, "too_many_streams")
    assert refused.headers["Retry-After"] == "60"
    slots.release(claims["visitor"])
    read_events(visitor, last_id=0, until="You said: One")


def test_streams_of_all_visitors_leave_threads_for_other_requests():
    streams = VisitorStreams(threads=16)
    for number in range(4):
        streams.acquire(f"vis_{number}")

    with pytest.raises(TooManyStreams):
        streams.acquire("vis_5")


def test_stream_ends_when_the_account_is_stopped(client, account, visitor, app, manager):
    visitor.send("One")
    visitor.wait_for("You said: One")
    stream = Stream(app, f"/web/{account}/events", visitor.headers)
    stream.wait_for("open")

    client.patch(f"/accounts/{account}", json={"state": "stopped"}, headers=manager)

    stream.thread.join(60)
    assert not stream.thread.is_alive()


def test_repeated_client_id_stores_one_message(visitor):
    first = visitor.send("Hello", client_id="m-1")
    again = visitor.send("Hello", client_id="m-1")

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json["id"] == first.json["id"]


def test_messages_beyond_the_limits_of_a_contact_are_refused(client, create_account, agent):
    visitor = Visitor(client, create_account(limits={"contact_per_minute": 2}))

    statuses = [visitor.send(str(number)).status_code for number in range(3)]
    refused = visitor.send("again")

    assert statuses == [201, 201, 429]
    assert refused.json["code"] == "rate_limited"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert "again" not in visitor.list_texts()


def test_blocked_and_erased_contacts(client, visitor, manager):
    visitor.send("Hello")
    visitor.wait_for("You said: Hello")
    (contact,) = client.get("/contacts", headers=manager).json["items"]
    path = f"/contacts/{contact['id']}"
    client.patch(path, json={"is_blocked": True}, headers=manager)

    blocked = visitor.send("Are you there?")
    client.delete(path, headers=manager)

    assert (blocked.status_code, blocked.json["code"]) == (403, "contact_blocked")
    assert visitor.list_texts() == []
    assert visitor.send("New").status_code == 201


def test_conversation_stays_with_the_visitor_after_its_contact_was_merged(
    client, account, visitor, manager
):
    second = Visitor(client, account)
    visitor.send("First")
    second.send("Second")
    visitor.wait_for("You said: First")
    second.wait_for("You said: Second")
    contacts = client.get("/contacts", headers=manager).json["items"]
    source, target = [contact["id"] for contact in contacts]
    merged = client.post(f"/contacts/{source}/merge", json={"into_id": target}, headers=manager)

    assert merged.status_code == 200, merged.text
    assert visitor.list_texts()[0] == "First"
    assert second.list_texts()[0] == "Second"
    assert second.send("Third").status_code == 201
    assert visitor.list_texts() == ["First", "You said: First"]


def test_human_mode_silences_the_agent_and_read_positions_reach_the_team(
    client, visitor, colleague, agent
):
    visitor.send("Hello")
    visitor.wait_for("You said: Hello")
    path = f"/conversations/{find_conversation(client, colleague)['id']}"
    client.post(f"{path}/messages", json={"content": "I help you."}, headers=colleague)

    visitor.send("Thank you")
    read = visitor.call("PUT", "/read", json={"seq": 3})
    typing = visitor.call("POST", "/typing", json={"typing": True})

    assert (read.json, typing.status_code) == ({"seq": 4}, 202)
    # The server may still get questions of earlier tests.
    assert "Thank you" not in [query["user_request"] for query in agent.queries]
    participants = client.get(path, headers=colleague).json["participants"]
    assert {row["read_seq"] for row in participants if row["actor"].startswith("contact:")} == {4}


def test_account_without_a_key_leaves_messages_to_people(
    client, create_account, manager, colleague, agent
):
    account = create_account()
    client.patch(f"/accounts/{account}", json={"agent_key": ""}, headers=manager)
    visitor = Visitor(client, account)
    visitor.send("Hello")

    for _ in range(300):
        state = visitor.call("GET", "/messages").json["state"]
        if state["mode"] == "human":
            break
        time.sleep(0.02)

    assert state == {"status": "open", "mode": "human", "has_failed": False}
    assert find_conversation(client, colleague)["answer_error"] is None
    assert agent.queries == []


def test_unknown_accounts_and_other_channels_get_404(client, manager):
    body = {
        "channel": "generic",
        "name": "Hooks",
        "settings": {"url": "https://shop.example/chat", "origins": [SHOP]},
    }
    generic = client.post("/accounts", json=body, headers=manager).json["id"]

    for account in (generic, "acc_unknown", "web_unknown"):
        assert open_session(client, account).status_code == 404
        assert client.get(f"/web/{account}").status_code == 404
        assert client.get(f"/web/{account}/messages").status_code == 404


@pytest.mark.parametrize(
    "body",
    [{}, {"content": ""}, {"content": " \u200b"}, {"content": "x" * 4001}, {"content": 7},
     {"content": {"type": "text", "text": "x"}}, {"content": "x", "client_id": ""},
     {"content": "x", "internal": True}, {"content": "x", "conversation_id": "conv_1"}],
)  # fmt: skip
def test_invalid_messages_are_rejected(visitor, body):
    assert visitor.call("POST", "/messages", json=body).status_code == 422
    assert visitor.list_texts() == []


def test_preflight_requests_are_answered_for_listed_sites_and_sandboxes(client, account):
    def ask(origin, path="/messages"):
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        return client.options(f"/web/{account}{path}", headers=headers)

    for origin in (SHOP, "null"):
        response = ask(origin)
        assert response.status_code == 204
        assert response.headers["Access-Control-Allow-Origin"] == origin
        assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Credentials" not in response.headers
    refused = ask("https://evil.example")
    assert "Access-Control-Allow-Origin" not in refused.headers
    assert "Access-Control-Allow-Methods" not in refused.headers


def test_check_reports_missing_and_wrong_origins(client, create_account, manager):
    account = create_account(origins=())
    path = f"/accounts/{account}"

    def check(*origins):
        change = {"settings": {"origins": list(origins)}}
        assert client.patch(path, json=change, headers=manager).status_code == 200
        return client.post(f"{path}/check", headers=manager).json["error"]

    assert check()["code"] == "origins_missing"
    wrong = check(SHOP, "https://Shop.example/path", "shop.example", "https://*.example", "null")
    assert wrong["code"] == "origins_invalid"
    assert "browsers send https://shop.example" in wrong["detail"]
    assert wrong["detail"].count("is not an origin") == 3
    assert check(SHOP) is None
    # The account for chats of users is valid without a site.
    client.get("/accounts", headers=manager)
    web = client.post("/accounts/web_tenant-team/check", headers=manager).json
    assert web["error"] is None


@pytest.mark.parametrize(
    "fields",
    [{"origins": "https://shop.example"}, {"origins": ["https://shop.example"] * 21},
     {"origins": [7]}, {"origins": ["x" * 301]}, {"origins": ["https://a.example; x"]},
     {"origins": [""]}, {"colour": "red"}, {"colour": "#12345g"}, {"greeting": "x" * 501},
     {"title": ["x"]}],
)  # fmt: skip
def test_invalid_settings_of_the_widget_are_rejected(client, manager, fields):
    body = {"channel": "web", "name": "Shop", "settings": fields}

    response = client.post("/accounts", json=body, headers=manager)

    assert response.status_code == 422
    assert response.json["errors"][0]["pointer"].startswith("#/settings")


def test_web_accounts_have_no_credentials(client, manager):
    body = {"channel": "web", "name": "Shop", "credentials": {"token": "x"}}

    assert client.post("/accounts", json=body, headers=manager).status_code == 422
