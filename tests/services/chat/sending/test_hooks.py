"""Events of hooks: queued with the change, signed, repeated, stopped after lasting failure."""

import base64
import hashlib
import hmac
import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backend.chassis.web.app_factory import get_component
from backend.security.outbound import AllowedHost
from backend.services.chat.app import create_app
from backend.services.chat.jobs.waking import WorkerWaker
from backend.services.chat.wiring import ChatComponents

EVENTS = ["chat.message-created", "chat.conversation-created", "chat.account-changed"]


class Receiver:
    """A customer's server. It responds with the statuses of `plan`, then with 204."""

    def __init__(self, server):
        self.url = f"http://127.0.0.1:{server.server_port}/events"
        self.host = f"127.0.0.1:{server.server_port}"
        self.requests = []
        self.plan = []
        self.status = 204

    def receive(self, headers, body):
        self.requests.append((dict(headers), body))
        return self.plan.pop(0) if self.plan else self.status

    @property
    def events(self):
        return [json.loads(body) for _, body in self.requests]

    @property
    def ids(self):
        return [headers["webhook-id"] for headers, _ in self.requests]


@contextmanager
def run_receiver():
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(self.server.receiver.receive(self.headers, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.receiver = Receiver(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def receiver():
    with run_receiver() as receiver:
        yield receiver


class Clock:
    def __init__(self):
        self.time = datetime.now(UTC)

    def __call__(self):
        return self.time

    def advance(self, **time):
        self.time += timedelta(**time)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def app(settings, identities, receiver, clock):
    settings = replace(settings, private_hosts=(AllowedHost.parse(receiver.host),))
    app = identities.trust(create_app(settings, clock))
    yield app
    get_component(app, WorkerWaker).stop()


@pytest.fixture
def run(app):
    """Return a function that does all work that is due."""
    engine = get_component(app, ChatComponents).open_delivery_engine()

    def run():
        engine.recover()
        while engine.run_once():
            pass

    return run


@pytest.fixture
def hook(client, manager, receiver):
    body = {"name": "CRM", "url": receiver.url, "events": EVENTS}
    return client.post("/hooks", json=body, headers=manager).json


def post_message(client, ada, text="Hello"):
    return client.post("/message?wait=0", json={"content": text}, headers=ada).json["message"]


def read_hook(client, manager):
    return client.get("/hooks", headers=manager).json["items"][0]


def list_deliveries(client, manager, hook, **filters):
    query = {"hook_id": hook["id"], **filters}
    return client.get("/deliveries", query_string=query, headers=manager).json["items"]


def test_hook_receives_signed_events_without_the_text_of_messages(client, ada, hook, receiver, run):
    message = post_message(client, ada, "very private")
    run()

    by_type = {event["type"]: event for event in receiver.events}
    assert set(by_type) == {"chat.message-created", "chat.conversation-created"}
    assert by_type["chat.message-created"]["data"]["message_id"] == message["id"]
    assert len(set(receiver.ids)) == 2
    for headers, body in receiver.requests:
        key = base64.b64decode(hook["secret"].removeprefix("whsec_"))
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{digest}"
        assert b"private" not in body


def test_new_hook_receives_the_next_event_although_there_was_none_before(
    client, ada, manager, receiver, run
):
    post_message(client, ada)  # the tenant is known to have no hooks
    body = {"name": "CRM", "url": receiver.url, "events": ["chat.message-created"]}
    hook = client.post("/hooks", json=body, headers=manager).json

    post_message(client, ada)
    run()
    client.patch(f"/hooks/{hook['id']}", json={"is_enabled": False}, headers=manager)
    post_message(client, ada)
    run()

    assert len(receiver.requests) == 1


def test_hook_receives_changes_of_accounts(client, manager, hook, receiver, run):
    account = {"channel": "generic", "name": "Shop"}
    created = client.post("/accounts", json=account, headers=manager).json
    client.delete(f"/accounts/{created['id']}", headers=manager)
    run()

    assert [event["data"]["deleted"] for event in receiver.events] == [False, True]
    assert receiver.events[0]["data"]["account_id"] == created["id"]


def test_refused_event_is_sent_again_with_the_same_id_and_body(
    client, ada, manager, hook, receiver, run, clock
):
    receiver.plan = [500, 503, 400]
    client.patch(f"/hooks/{hook['id']}", json={"events": EVENTS[:1]}, headers=manager)
    post_message(client, ada)
    for _ in range(4):
        run()
        clock.advance(minutes=2)

    assert len(receiver.requests) == 4
    assert len(set(receiver.ids)) == 1
    assert len({body for _, body in receiver.requests}) == 1
    delivery = list_deliveries(client, manager, hook)[0]
    assert (delivery["state"], delivery["attempts"]) == ("sent", 4)
    assert read_hook(client, manager)["failures"] == 0


def test_hook_pauses_after_failures_in_a_row_and_loses_nothing(
    client, ada, manager, hook, receiver, run, clock
):
    receiver.status = 500
    for _ in range(10):
        post_message(client, ada)
        clock.advance(seconds=1)
        run()
    attempts = len(receiver.requests)
    receiver.status = 204
    for _ in range(6):
        clock.advance(minutes=20)
        run()

    # The circuit has opened after five failures; ten events would have needed ten attempts or more.
    assert attempts == 5
    assert read_hook(client, manager)["failures"] == 0
    states = {delivery["state"] for delivery in list_deliveries(client, manager, hook)}
    assert states == {"sent"}


def test_hook_is_disabled_after_three_days_of_failures_and_can_be_enabled_again(
    client, ada, manager, hook, receiver, run, clock
):
    receiver.status = 500
    for _ in range(7):
        post_message(client, ada)
        run()
        clock.advance(hours=12)

    disabled = read_hook(client, manager)
    assert disabled["is_enabled"] is False
    assert disabled["disabled_reason"].startswith(f"{disabled['failures']} attempts failed since ")
    receiver.status = 204
    before = len(receiver.requests)
    post_message(client, ada)
    clock.advance(hours=1)
    run()
    assert len(receiver.requests) == before
    assert list_deliveries(client, manager, hook, state="queued") == []

    client.patch(f"/hooks/{hook['id']}", json={"is_enabled": True}, headers=manager)
    post_message(client, ada)
    run()

    assert len(receiver.requests) > before
    assert read_hook(client, manager)["disabled_reason"] is None
    assert read_hook(client, manager)["failing_since"] is None


def test_hook_is_disabled_by_status_410(client, ada, manager, hook, receiver, run):
    receiver.status = 410
    post_message(client, ada)
    run()

    assert len(receiver.requests) == 1
    assert read_hook(client, manager)["is_enabled"] is False
    states = {delivery["state"] for delivery in list_deliveries(client, manager, hook)}
    assert states == {"failed", "cancelled"}


def test_hook_at_a_private_address_is_not_called(client, ada, manager, run):
    body = {"name": "x", "url": "http://127.0.0.1:9/", "events": EVENTS[:1]}
    hook = client.post("/hooks", json=body, headers=manager).json
    post_message(client, ada)
    run()

    delivery = list_deliveries(client, manager, hook)[0]
    assert (delivery["state"], delivery["error"]["code"]) == ("failed", "address_blocked")


def test_slow_receiver_gets_one_event_at_a_time(app, client, ada, hook, receiver):
    entered, leave = threading.Event(), threading.Event()
    receive = receiver.receive

    def receive_slowly(headers, body):
        entered.set()
        leave.wait(10)
        return receive(headers, body)

    receiver.receive = receive_slowly
    post_message(client, ada)
    engine = get_component(app, ChatComponents).open_delivery_engine()
    thread = threading.Thread(target=engine.run_once)
    thread.start()
    entered.wait(10)

    has_sent_another = engine.run_once()
    leave.set()
    thread.join()

    assert has_sent_another is False
    assert engine.run_once() is True
