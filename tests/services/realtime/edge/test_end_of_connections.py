"""Revocation, slow clients and drain."""

import socket

from backend.security.redis import connect as connect_redis
from backend.security.revocation import SharedRevocations
from tests.servers import wait_until
from tests.services.realtime.edge.test_unidirectional import EventReader

TENANT = "tenant-of-user-ada"


def use_shared_revocations(identities, valkey):
    revocations = SharedRevocations(connect_redis(valkey.url))
    identities.revocations = revocations
    from backend.security.revocation import RevocationHistory

    revocations.repopulate(RevocationHistory([], {}, {}, 600))
    return revocations


def test_revoked_session_is_disconnected(start, identities, token, valkey):
    revocations = use_shared_revocations(identities, valkey)
    realtime = start(valkey.url)
    with realtime.connect() as client, realtime.connect() as other:
        client.authenticate(token)
        other.authenticate(identities.token("user-bob", permissions=("packages:read",)))
        revocations.revoke_session("session-of-user-ada", 60)
        assert client.read_close() == (3500, "session ended")
        assert "subscribe" in other.subscribe("packages")


def test_raised_generations_disconnect_user_and_tenant(start, identities, valkey):
    revocations = use_shared_revocations(identities, valkey)
    realtime = start(valkey.url)
    with (
        realtime.connect() as ada,
        realtime.connect() as bob,
        realtime.connect() as eve,
    ):
        ada.authenticate(identities.token("user-ada"))
        bob.authenticate(identities.token("user-bob", tenant_id="tenant-b"))
        eve.authenticate(identities.token("user-eve"))
        revocations.raise_user_generation("user-ada", 1)
        assert ada.read_close()[0] == 3500
        revocations.raise_tenant_generation("tenant-b", 1)
        assert bob.read_close()[0] == 3500
        assert "subscribe" in eve.subscribe("user")


def test_revoked_session_ends_its_event_streams(start, identities, token, valkey):
    revocations = use_shared_revocations(identities, valkey)
    realtime = start(valkey.url)
    with EventReader(realtime, "/sse/packages", token) as reader:
        revocations.revoke_session("session-of-user-ada", 60)
        assert reader.response.read() == b""


def test_sessions_are_checked_after_the_channel_was_lost(start, identities, token, valkey):
    use_shared_revocations(identities, valkey)
    realtime = start(valkey.url)
    redis = connect_redis(valkey.url)
    with realtime.connect() as client:
        client.authenticate(token)
        # Another process ends the session, and its message is not received.
        redis.set("{suite}:security:ended:session-of-user-ada", "1", ex=60)
        redis.client_kill_filter(_type="pubsub")
        assert client.read_close() == (3500, "session ended")


def read_nothing(realtime, token):
    """Open a WebSocket whose receive buffer is small, and never read from it."""
    import base64
    import os

    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", realtime.port))
    key = base64.b64encode(os.urandom(16)).decode()
    client.sendall(
        f"GET /ws/packages HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        f"Authorization: Bearer {token}\r\n\r\n".encode()
    )
    return client


def test_client_with_a_full_queue_is_disconnected(start, identities, token):
    realtime = start()
    with read_nothing(realtime, token), realtime.connect() as reader:
        wait_until(lambda: realtime.call(lambda: len(realtime.server.hub.streams)) == 1)
        reader.authenticate(identities.token("user-ada", permissions=("packages:read",)))
        reader.subscribe("packages")
        for number in range(40):
            realtime.publish(TENANT, "packages", {"n": number, "text": "x" * 50_000})
            assert reader.receive_data()["n"] == number
        wait_until(lambda: realtime.call(lambda: len(realtime.server.sockets)) == 1)
        assert realtime.server.closes["slow"] == 1


def test_client_without_progress_is_disconnected(start, token):
    realtime = start(limits={"stall_seconds": 0.5, "queued_bytes": 10_000_000})
    with read_nothing(realtime, token):
        wait_until(lambda: realtime.call(lambda: len(realtime.server.hub.streams)) == 1)
        for number in range(40):
            realtime.publish(TENANT, "packages", {"n": number, "text": "x" * 50_000})
        wait_until(lambda: realtime.call(lambda: len(realtime.server.sockets)) == 0)
        assert realtime.server.closes["slow"] == 1


def test_drain_closes_connections_and_rejects_new_ones(start, token):
    from tests.services.realtime.edge.test_handshake import UPGRADE, request

    realtime = start(SERVICE_DRAIN_SECONDS="1")
    with realtime.connect() as client, EventReader(realtime, "/sse/packages", token) as reader:
        client.authenticate(token)
        realtime.call(realtime.server.drain)
        assert client.read_close() == (1012, "service restart")
        assert reader.response.read() == b""
        assert request(realtime, "GET", "/ws/connect", UPGRADE)[0].status == 503
