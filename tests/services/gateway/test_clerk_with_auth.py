"""The main path of Clerk's session tokens through the gateway, auth, and a Redis-compatible server.

The gateway's asyncio data path and auth run in threads and call each other over real sockets.
"""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import request

from backend.chassis.catalog import CATALOG
from backend.chassis.settings import Env
from backend.security.authentication import SecurityContext
from backend.security.limits import Limiter
from backend.security.settings import SecuritySettings
from backend.services.auth.app import create_app as create_auth
from backend.services.auth.settings import Settings as AuthSettings
from backend.services.gateway.app import create_app as create_gateway
from backend.services.gateway.settings import Settings as GatewaySettings
from tests.clerk import PARTY, PUBLISHABLE_KEY, WEBHOOK_SECRET, Clerk, serve
from tests.databases import database_in
from tests.servers import Valkey, free_port, wait_until
from tests.services.gateway.data_paths import RawClient, RunningEdge, serve_flask


@pytest.fixture
def clerk() -> Iterator[Clerk]:
    with serve(Clerk()) as stand_in:
        yield stand_in


@pytest.fixture
def exchanges() -> list[str]:
    """Return the list of the paths that auth received."""
    return []


@pytest.fixture
def client(
    tmp_path: Path,
    clerk: Clerk,
    valkey: Valkey,
    exchanges: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[RawClient]:
    auth_port = free_port()
    auth_url = f"http://127.0.0.1:{auth_port}"
    values = {
        "DATA_DIR": str(tmp_path),
        "REDIS_URL": valkey.url,
        "SECRET_KEY": "a secret that all services of this test share",
        "JWT_SECRET_KEY": "another secret of this test, for the signatures",
        "ADMIN_PASSWORD": "an admin's own words",
        "CLERK_PUBLISHABLE_KEY": PUBLISHABLE_KEY,
        "CLERK_AUTHORIZED_PARTIES": PARTY,
        "CLERK_JWKS_URL": f"{clerk.url}/.well-known/jwks.json",
        "CLERK_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "AUTH_SERVICE_URL": auth_url,
        **{
            entry.url_variable: auth_url
            for entry in CATALOG
            if not entry.is_gateway and entry.name != "auth"
        },
    }
    for name in ("SECRET_KEY", "DATA_DIR", "REDIS_URL", "AUTH_SERVICE_URL"):
        monkeypatch.setenv(name, values[name])
    security = SecuritySettings.from_env(values)
    auth = create_auth(
        AuthSettings.from_env(Env({**values, "DATABASE_URL": database_in(tmp_path, "auth")}))
    )
    auth.before_request(lambda: exchanges.append(request.path))
    context = SecurityContext.from_settings(security, "gateway")
    gateway = create_gateway(GatewaySettings.from_env(Env(values)), context, Limiter(None))
    with (
        serve_flask(auth, auth_port),
        RunningEdge(gateway) as edge,
        RawClient(edge.port) as raw_client,
    ):
        yield raw_client


def test_user_of_clerk_is_accepted_until_the_session_ends(
    client: RawClient, clerk: Clerk, exchanges: list[str]
) -> None:
    header = f"Authorization: Bearer {clerk.sign(o={'id': 'org_1', 'slg': 'acme'})}"
    users = set()
    for _ in range(5):
        response = client.request("GET", "/auth/me", header)
        assert response.status == 200, response.body
        users.add(json.loads(response.body)["id"])
    assert len(users) == 1
    assert exchanges.count("/internal/clerk/exchange") == 1
    assert clerk.requests == ["/.well-known/jwks.json"]

    # A session that ends at Clerk ends for the token in the gateway's cache too.
    other = f"Authorization: Bearer {clerk.sign(sid='sess_2')}"
    assert client.request("GET", "/auth/me", other).status == 200
    event = {"type": "session.revoked", "data": {"id": "sess_2", "user_id": "user_ada"}}
    body = json.dumps(event).encode()
    headers = clerk.sign_webhook(body, datetime.now(UTC))
    signed = (f"{name}: {value}" for name, value in headers.items())
    assert client.request("POST", "/auth/clerk/webhook", *signed, body=body).status == 204
    wait_until(lambda: client.request("GET", "/auth/me", other).status == 401)
    assert client.request("GET", "/auth/me", header).status == 200

    # So does a sign-out here, with the token of Clerk.
    assert client.request("POST", "/auth/logout", header).status == 204
    wait_until(lambda: client.request("GET", "/auth/me", header).status == 401)
    response = client.request("GET", "/auth/me", header)
    assert json.loads(response.body)["code"] == "session_ended"
    later = f"Authorization: Bearer {clerk.sign(jti='2')}"
    assert json.loads(client.request("GET", "/auth/me", later).body)["code"] == "session_ended"

    expired = f"Authorization: Bearer {clerk.sign(sid='sess_3', exp=int(time.time()) - 6)}"
    problem = json.loads(client.request("GET", "/auth/me", expired).body)
    assert (problem["status"], "(expired)" in problem["detail"]) == (401, True)
