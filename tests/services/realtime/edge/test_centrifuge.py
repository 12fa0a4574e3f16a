"""The bidirectional protocol, over real WebSockets."""

import json

import pytest
from websockets.exceptions import InvalidStatus

TENANT = "tenant-of-user-ada"


def test_connect_subscribe_and_receive(realtime, token):
    with realtime.connect() as client:
        connected = client.authenticate(token)["connect"]
        assert connected["ping"] == 25
        assert connected["pong"] is True
        assert connected["client"]
        subscribed = client.subscribe("packages")["subscribe"]
        assert subscribed["recoverable"] is True
        assert subscribed["publications"] == []
        realtime.publish(TENANT, "packages", {"n": 1})
        push = client.receive_push()
        assert push == {"channel": "packages", "pub": {"data": {"n": 1}, "offset": 1}}


def test_publications_of_another_tenant_are_not_received(realtime, token):
    with realtime.connect() as client:
        client.authenticate(token)
        client.subscribe("packages")
        realtime.publish("tenant-of-someone", "packages", {"n": 1})
        realtime.publish(TENANT, "packages", {"n": 2})
        assert client.receive_data() == {"n": 2}


def test_publications_to_another_user_are_not_received(realtime, token):
    with realtime.connect() as client:
        client.authenticate(token)
        client.subscribe("user")
        client.subscribe("agents:run1")
        realtime.publish(TENANT, "user", {"n": 1}, user_id="user-bob")
        realtime.publish(TENANT, "agents:run1", {"n": 2}, user_id="user-bob")
        realtime.publish(TENANT, "user", {"n": 3}, user_id="user-ada")
        assert client.receive_data() == {"n": 3}


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        ("unknown", 102),
        ("", 102),
        ("packages:", 102),
        ("packages:a/b", 102),
        ("tenant-b//packages", 102),
        ("//system", 102),
        ("packages:" + "x" * 65, 102),
        ("system", 103),
    ],
)
def test_subscription_is_rejected(realtime, token, topic, code):
    with realtime.connect() as client:
        client.authenticate(token)
        assert client.subscribe(topic)["error"]["code"] == code


def test_topic_requires_its_permission(realtime, identities):
    with realtime.connect() as client:
        client.authenticate(identities.token(permissions=("rag:read",)))
        assert client.subscribe("packages")["error"]["code"] == 103
        assert client.subscribe("agents")["error"]["code"] == 103
        assert "subscribe" in client.subscribe("user")


def test_second_subscription_of_a_topic_is_rejected(realtime, token):
    with realtime.connect() as client:
        client.authenticate(token)
        client.subscribe("packages")
        assert client.subscribe("packages")["error"]["code"] == 105


def test_unsubscribe_ends_delivery(realtime, token):
    with realtime.connect() as client:
        client.authenticate(token)
        client.subscribe("packages")
        client.subscribe("map")
        assert client.ask(unsubscribe={"channel": "packages"})["unsubscribe"] == {}
        realtime.publish(TENANT, "packages", {"n": 1})
        realtime.publish(TENANT, "map", {"n": 2}, key="p1")
        assert client.receive_data() == {"n": 2}


def test_number_of_subscriptions_is_limited(start, token):
    realtime = start(limits={"subscriptions": 2})
    with realtime.connect() as client:
        client.authenticate(token)
        client.subscribe("packages")
        client.subscribe("map")
        assert client.subscribe("agents")["error"]["code"] == 106


def test_recovery_returns_missed_publications(realtime, token):
    realtime.publish(TENANT, "packages", {"n": 1})
    with realtime.connect() as client:
        client.authenticate(token)
        position = client.subscribe("packages")["subscribe"]
    for number in (2, 3):
        realtime.publish(TENANT, "packages", {"n": number})
    with realtime.connect() as client:
        client.authenticate(token)
        resumed = client.subscribe(
            "packages", recover=True, epoch=position["epoch"], offset=position["offset"]
        )["subscribe"]
        assert resumed["was_recovering"] is True
        assert resumed["recovered"] is True
        assert [item["data"]["n"] for item in resumed["publications"]] == [2, 3]
        assert resumed["offset"] == 3


@pytest.mark.parametrize(("epoch", "offset"), [("other", 0), (None, 99)])
def test_recovery_from_an_unknown_position_fails(realtime, token, epoch, offset):
    position = realtime.publish(TENANT, "packages", {"n": 1})
    with realtime.connect() as client:
        client.authenticate(token)
        resumed = client.subscribe(
            "packages", recover=True, epoch=epoch or position.epoch, offset=offset
        )["subscribe"]
        assert resumed["recovered"] is False
        assert resumed["publications"] == []


def test_replay_of_a_latest_topic_has_the_last_publication_of_each_key(realtime, token):
    position = realtime.publish(TENANT, "map", {"n": 0}, key="p0")
    for number, key in ((1, "p1"), (2, "p2"), (3, "p1")):
        realtime.publish(TENANT, "map", {"n": number}, key=key)
    with realtime.connect() as client:
        client.authenticate(token)
        resumed = client.subscribe("map", recover=True, epoch=position.epoch, offset=1)
        assert [p["data"]["n"] for p in resumed["subscribe"]["publications"]] == [2, 3]


def test_history_returns_stored_publications(realtime, token):
    for number in range(3):
        realtime.publish(TENANT, "packages", {"n": number})
    with realtime.connect() as client:
        client.authenticate(token)
        history = client.ask(history={"channel": "packages", "limit": 2})["history"]
        assert [item["offset"] for item in history["publications"]] == [1, 2]
        newest = client.ask(history={"channel": "packages", "limit": 1, "reverse": True})
        assert [item["offset"] for item in newest["history"]["publications"]] == [3]
        empty = client.ask(history={"channel": "packages"})["history"]
        assert (empty["publications"], empty["offset"]) == ([], 3)


def test_presence_lists_clients_of_chat_topics(realtime, identities):
    chat = ("chat:read",)
    with realtime.connect() as ada, realtime.connect() as bob:
        own = ada.authenticate(identities.token(permissions=chat))["connect"]["client"]
        bob.authenticate(identities.token("user-bob", tenant_id=TENANT, permissions=chat))
        ada.subscribe("chat:inbox")
        bob.subscribe("chat:inbox")
        presence = ada.ask(presence={"channel": "chat:inbox"})["presence"]["presence"]
        assert presence[own] == {"client": own, "user": "user-ada"}
        assert {entry["user"] for entry in presence.values()} == {"user-ada", "user-bob"}
        stats = ada.ask(presence_stats={"channel": "chat:inbox"})["presence_stats"]
        assert stats == {"num_clients": 2, "num_users": 2}
        bob.ask(unsubscribe={"channel": "chat:inbox"})
        stats = ada.ask(presence_stats={"channel": "chat:inbox"})["presence_stats"]
        assert stats["num_clients"] == 1


def test_clients_that_come_and_go_are_announced(realtime, identities):
    token = identities.token("user-bob", tenant_id=TENANT, permissions=("chat:read",))
    with realtime.connect() as ada:
        ada.authenticate(identities.token(permissions=("chat:read",)))
        ada.subscribe("chat:inbox")
        with realtime.connect() as bob:
            client = bob.authenticate(token)["connect"]["client"]
            bob.subscribe("chat:inbox")
            info = {"client": client, "user": "user-bob"}
            pushes = [ada.receive_push() for _ in range(2)]
            assert pushes[-1] == {"channel": "chat:inbox", "join": {"info": info}}
        assert ada.receive_push() == {"channel": "chat:inbox", "leave": {"info": info}}


def test_typing_is_delivered_once_a_second(realtime, identities):
    chat = identities.token(permissions=("chat:read",))
    with realtime.connect() as client:
        client.authenticate(chat)
        client.subscribe("chat:conversation:c1")
        for _ in range(3):
            data = {"conversation_id": "c1", "typing": True}
            assert "rpc" in client.ask(rpc={"method": "typing", "data": data})
        stopped = {"conversation_id": "c1", "typing": False}
        client.send({"id": 90, "rpc": {"method": "typing", "data": stopped}})
        assert client.receive_data()["data"]["typing"] is False


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({"rpc": {"method": "unknown", "data": {}}}, 104),
        ({"publish": {"channel": "packages", "data": {}}}, 103),
        ({"rpc": {"method": "typing", "data": {"conversation_id": ""}}}, 107),
        ({"presence": {"channel": "packages"}}, 103),
    ],
)
def test_command_is_answered_with_an_error(realtime, token, command, code):
    with realtime.connect() as client:
        client.authenticate(token)
        assert client.ask(**command)["error"]["code"] == code


def test_several_commands_in_one_message_are_answered(realtime, token):
    with realtime.connect() as client:
        client.authenticate(token)
        commands = [{"id": n, "subscribe": {"channel": f"packages:p{n}"}} for n in (7, 8)]
        client.socket.send("\n".join(map(json.dumps, commands)))
        replies = (client.receive_reply() for _ in commands)
        assert {reply["id"] for reply in replies} == {7, 8}


@pytest.mark.parametrize(
    "message",
    [
        "no json",
        "[]",
        "[" * 60_000,
        '{"id": 1}x',
        '{"id": ' + "9" * 5_000 + ', "subscribe": {"channel": "packages"}}',
        '{"id": 1e999, "subscribe": {"channel": "packages"}}',
        '{"id": 5, "subscribe": {"channel": "\\ud800"}}',
        '{"id": 5, "subscribe": {"channel": "packages", "offset": NaN}}',
        '{"id": -1, "subscribe": {"channel": "packages"}}',
        '{"id": "1", "subscribe": {"channel": "packages"}}',
        '{"subscribe": {"channel": "packages"}}',
        '{"id": 5, "connect": {}}',
        '{"id": 5, "subscribe": {"channel": 5}}',
    ],
)
def test_malformed_command_closes_the_connection(realtime, token, message):
    with realtime.connect() as client:
        client.authenticate(token)
        client.socket.send(message)
        assert client.read_close()[0] == 3501


def test_commands_sent_with_the_connect_command_are_answered_after_it(realtime, token):
    commands = [
        {"id": 1, "connect": {"token": token}},
        {"id": 2, "subscribe": {"channel": "packages"}},
    ]
    with realtime.connect() as client:
        client.socket.send("\n".join(map(json.dumps, commands)))
        assert "connect" in client.receive_reply()
        assert "subscribe" in client.receive_reply()


def test_commands_sent_with_a_rejected_connect_command_are_not_run(realtime, identities, token):
    commands = [
        {"id": 1, "connect": {"token": identities.token(exp=1000)}},
        {"id": 2, "subscribe": {"channel": "packages"}},
    ]
    with realtime.connect() as client:
        client.socket.send("\n".join(map(json.dumps, commands)))
        assert client.receive()["error"]["code"] == 109
        assert client.authenticate(token).keys() == {"id", "connect"}
        assert "subscribe" in client.subscribe("packages")


def test_command_before_connect_closes_the_connection(realtime):
    with realtime.connect() as client:
        client.send({"id": 1, "subscribe": {"channel": "packages"}})
        assert client.read_close()[0] == 3501


@pytest.mark.parametrize("bad", ["x", "x.y.z", ""])
def test_invalid_token_in_connect_closes_the_connection(realtime, bad):
    with realtime.connect() as client:
        client.send({"id": 1, "connect": {"token": bad}})
        assert client.receive()["error"]["code"] == 101
        assert client.read_close()[0] == 3500


def test_expired_token_lets_the_client_get_a_new_one(realtime, identities, token):
    with realtime.connect() as client:
        assert client.authenticate(identities.token(exp=1000))["error"]["code"] == 109
        assert "connect" in client.authenticate(token)


def test_client_that_does_not_connect_is_disconnected(realtime, monkeypatch):
    monkeypatch.setattr("backend.services.realtime.edge.websocket.CONNECT_SECONDS", 0.1)
    with realtime.connect() as client:
        assert client.read_close() == (3500, "invalid token")


def test_command_rate_is_limited(start, token):
    realtime = start(limits={"command_burst": 5, "commands_per_second": 1})
    with realtime.connect() as client:
        client.authenticate(token)
        codes = [client.ask(history={"channel": "user"}).get("error") for _ in range(6)]
        assert codes[-1] == {"code": 111, "message": "too many requests", "temporary": True}


def test_client_that_does_not_answer_pings_is_disconnected(start, token):
    realtime = start(limits={"ping_seconds": 1})
    with realtime.connect() as client:
        client.authenticate(token)
        assert client.read_close() == (3012, "no pong")


def test_client_that_answers_pings_stays_connected(start, token):
    # The client has to answer within the interval, also on a busy machine.
    realtime = start(limits={"ping_seconds": 4})
    with realtime.connect() as client:
        client.authenticate(token)
        for _ in range(2):
            assert client.receive() == {}
            client.send({})
        assert "subscribe" in client.subscribe("user")


def test_connection_ends_after_its_lifetime(start, token):
    realtime = start(limits={"ping_seconds": 1, "lifetime_seconds": 0.0})
    with realtime.connect() as client:
        client.authenticate(token)
        assert client.read_close() == (3005, "connection expired")


def test_refresh_continues_with_the_new_token(realtime, identities, token):
    with realtime.connect() as client:
        client.authenticate(token)
        reply = client.ask(refresh={"token": identities.token(permissions=("rag:read",))})
        assert "refresh" in reply
        assert client.subscribe("packages")["error"]["code"] == 103
        foreign = identities.token("user-bob")
        assert client.ask(refresh={"token": foreign})["error"]["code"] == 101


def test_oversized_message_closes_the_connection(realtime, token):
    with realtime.connect() as client:
        client.authenticate(token)
        client.socket.send("x" * (64 * 1024 + 1))
        assert client.read_close()[0] == 1009


def test_binary_message_closes_the_connection(realtime, token):
    with realtime.connect() as client:
        client.authenticate(token)
        client.socket.send(b"{}")
        assert client.read_close()[0] == 1003


def test_connections_of_a_user_are_limited(start, token):
    realtime = start(REALTIME_SOCKETS_PER_USER="1")
    with realtime.connect() as first, realtime.connect() as second:
        first.authenticate(token)
        second.send({"id": 1, "connect": {"token": token}})
        assert second.read_close() == (3504, "connection limit")
        header = {"Authorization": f"Bearer {token}"}
        with pytest.raises(InvalidStatus) as refused, realtime.connect(additional_headers=header):
            pass
        assert refused.value.response.status_code == 429
