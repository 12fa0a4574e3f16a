"""Every route, asked by everyone: the table says who hears what, and a route without a line fails.

The permissions are those that the views declare; the table adds what a good request is
and what it answers.
"""

import importlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
import requests

from backend.chassis.catalog import CATALOG
from backend.security import BUILT_IN_ROLES
from backend.security.guards import Guard, guard_of
from tests.identities import Identities
from tests.suite.conftest import PASSWORD

pytestmark = pytest.mark.suite

_numbers = count()
# Who asks; `owner` is asked last, because some requests use the thing up.
ASKERS = (
    "nobody",
    "expired",
    "viewer",
    "user",
    "neighbour",
    "foreign_admin",
    "admin",
    "key",
    "owner",
)
_OF_EVERY_SERVICE = {
    "GET /health": 200,
    "GET /health/live": 200,
    "GET /health/ready": 200,
    "GET /info": 200,
    "GET /openapi.json": 200,
    "GET /docs": 200,
    "GET /docs/<name>": 200,
}


@dataclass(frozen=True)
class Good:
    """A good request to a route, and its status for those who may make it.

    *mine* makes the thing that the path names; to everybody but its owner it does not exist.
    """

    status: int
    json: Any = None
    path: dict[str, str] = field(default_factory=dict)
    mine: Callable[["Stage"], dict[str, str]] | None = None
    send: dict[str, Any] = field(default_factory=dict)


@dataclass
class Stage:
    """The running suite with everybody on it."""

    url: str
    tokens: dict[str, dict[str, str]]

    def ask(self, who: str, method: str, path: str, **how: Any) -> requests.Response:
        return requests.request(
            method, self.url + path, headers=self.tokens[who], timeout=30, stream=True, **how
        )

    def made(self, path: str, body: Any, key: str) -> str:
        response = self.ask("owner", "POST", path, json=body)
        assert response.status_code in (200, 201), response.text
        return str(response.json()[key])

    def document(self) -> dict[str, str]:
        text = f"Passage number {next(_numbers)} of the matrix."
        files = {"file": ("passage.txt", text.encode())}
        response = self.ask("owner", "POST", "/rag/documents?wait=30", files=files)
        assert response.status_code == 201, response.text
        return {"document_id": response.json()["documents"][0]["id"]}

    def collection(self) -> dict[str, str]:
        name = f"shelf-{next(_numbers)}"
        self.made("/rag/collections", {"name": name}, "name")
        return {"name": name}

    def granted(self) -> dict[str, str]:
        return self.collection() | {"user_id": "user-of-nobody"}

    def conversation(self) -> dict[str, str]:
        body = {"user_request": "How much is 6 times 7?"}
        return {"session_id": self.made("/agent/query", body, "session_id")}


NEW = {"username": "matrix", "password": PASSWORD}
ASK = {"user_request": "How much is 6 times 7?"}
CHAT = {"model": "embedded-lite", "messages": [{"role": "user", "content": "6 times 7?"}]}
UPLOAD = {"files": {"file": ("note.txt", b"A note of the matrix.")}, "params": {"wait": 30}}

ROUTES: dict[str, Good] = {
    "auth GET /.well-known/jwks.json": Good(200),
    "auth POST /register": Good(201, json=lambda: NEW | {"username": f"matrix-{time.time_ns()}"}),
    "auth POST /login": Good(401, json={"username": "no-such-person", "password": PASSWORD}),
    "auth POST /refresh": Good(401, json={"refresh_token": "rt_unknown"}),
    # Between services only, like every service's /metrics: from outside it is not there.
    "auth POST /api-keys/exchange": Good(404, json={"key": "aas_unknown"}),
    "agent GET /models": Good(200),
    "agent GET /tools": Good(200),
    "agent POST /query": Good(200, json=ASK),
    "agent GET /sessions": Good(200),
    "agent GET /sessions/<session_id>": Good(200, mine=Stage.conversation),
    "agent DELETE /sessions/<session_id>": Good(204, mine=Stage.conversation),
    "agent POST /sessions/<session_id>/cancel": Good(202, mine=Stage.conversation),
    "agent POST /sessions/<session_id>/resume": Good(
        409, json={"decision": "approve"}, mine=Stage.conversation
    ),
    "agent GET /v1/models": Good(200),
    "agent POST /v1/chat/completions": Good(200, json=CHAT),
    "rag GET /collections": Good(200),
    "rag POST /collections": Good(201, json=lambda: {"name": f"new-{time.time_ns()}"}),
    "rag GET /collections/<name>": Good(200, mine=Stage.collection),
    "rag PATCH /collections/<name>": Good(200, json={"description": "x"}, mine=Stage.collection),
    "rag DELETE /collections/<name>": Good(204, mine=Stage.collection),
    "rag PUT /collections/<name>/grants/<user_id>": Good(
        200, json={"access": "read"}, mine=Stage.granted
    ),
    "rag DELETE /collections/<name>/grants/<user_id>": Good(204, mine=Stage.granted),
    "rag POST /documents": Good(
        201,
        send={"files": {"file": ("note.txt", b"A note of the matrix.")}, "params": {"wait": 30}},
    ),
    "rag GET /documents": Good(200),
    "rag GET /documents/<document_id>": Good(200, mine=Stage.document),
    "rag PATCH /documents/<document_id>": Good(200, json={"title": "x"}, mine=Stage.document),
    "rag DELETE /documents/<document_id>": Good(204, mine=Stage.document),
    "rag GET /documents/<document_id>/chunks": Good(200, mine=Stage.document),
    "rag GET /documents/<document_id>/content": Good(200, mine=Stage.document),
    "rag GET /documents/<document_id>/text": Good(200, mine=Stage.document),
    "rag GET /documents/<document_id>/events": Good(200, mine=Stage.document),
    "rag POST /documents/<document_id>/reindex": Good(202, mine=Stage.document),
    "rag POST /query": Good(200, json={"query": "passage"}),
    "rag POST /search": Good(200, json={"query": "passage"}),
    "gateway GET /": Good(200),
    **{
        f"{entry.name} {route}": Good(status, path={"name": "start.js"})
        for entry in CATALOG
        for route, status in _OF_EVERY_SERVICE.items()
    },
    **{f"{entry.name} GET /health/detailed": Good(200) for entry in CATALOG},
    # The gateway's own is for loopback, where these tests are.
    **{f"{entry.name} GET /metrics": Good(404) for entry in CATALOG if not entry.is_gateway},
    "gateway GET /metrics": Good(200),
}


def declared() -> Iterator[tuple[str, str, str, Guard]]:
    """(service, method, rule, guard) of every route, but for the gateway's way inward."""
    for entry in CATALOG:
        app = importlib.import_module(entry.module).create_app()
        for rule in app.url_map.iter_rules():
            guard = guard_of(app.view_functions[rule.endpoint])
            assert guard is not None, rule
            if not rule.endpoint.startswith("forwarding."):
                for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                    yield entry.name, method, str(rule), guard


@pytest.fixture(scope="module")
def guards(tmp_path_factory) -> dict[str, Guard]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_DIR", str(tmp_path_factory.mktemp("matrix")))
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        return {f"{s} {method} {rule}": guard for s, method, rule, guard in declared()}


@pytest.fixture(scope="module")
def stage(suite) -> Stage:
    secret = (suite.folder / "data" / "secrets" / "JWT_SECRET_KEY").read_text().strip()
    people = Identities(secret)
    accounts = {who: suite.person(who.replace("_", "-")).account["user"] for who in ASKERS[2:]}

    def token(who: str, tenant: str, role: str, **claims: object) -> dict[str, str]:
        scope = BUILT_IN_ROLES[role]
        account = accounts.get(who, accounts["owner"])
        return people.bearer(
            account["id"], tenant_id=tenant, permissions=scope, sid=f"matrix-{who}", **claims
        )

    home = accounts["owner"]["tenant_id"]
    past = int(time.time()) - 60
    key = suite.person("key")(
        "POST", "/auth/api-keys", json={"name": "one", "permissions": ["rag:read"]}
    )
    assert key.status_code == 201, key.text
    tokens = {
        "nobody": {},
        "expired": token("owner", home, "user", exp=past),
        "viewer": token("viewer", home, "viewer"),
        "user": token("user", accounts["user"]["tenant_id"], "user"),
        "neighbour": token("neighbour", home, "user"),
        "foreign_admin": token(
            "foreign_admin", accounts["foreign_admin"]["tenant_id"], "tenant_admin"
        ),
        "admin": token("admin", accounts["admin"]["tenant_id"], "admin"),
        "key": {"X-API-Key": key.json()["key"]},
        "owner": token("owner", home, "user"),
    }
    return Stage(suite.url, tokens)


PERMITTED: dict[str, frozenset[str]] = {
    "viewer": BUILT_IN_ROLES["viewer"],
    "user": BUILT_IN_ROLES["user"],
    "neighbour": BUILT_IN_ROLES["user"],
    "foreign_admin": BUILT_IN_ROLES["tenant_admin"],
    "admin": BUILT_IN_ROLES["admin"],
    "key": frozenset({"rag:read"}),
    "owner": BUILT_IN_ROLES["user"],
}


def expected(who: str, guard: Guard, good: Good) -> int:
    """What *who* must hear: first who they are, then what they may, then whose the thing is."""
    if guard.public:
        return good.status
    if who in ("nobody", "expired"):
        return 401
    if guard.permission is not None and guard.permission not in PERMITTED[who]:
        return 403
    return good.status if good.mine is None or who == "owner" else 404


def test_every_route_has_a_line_and_every_line_a_route(guards):
    assert set(guards) == set(ROUTES)


@pytest.mark.parametrize("route", ROUTES)
def test_everyone_hears_what_they_should(stage, guards, route):
    good, guard = ROUTES[route], guards[route]
    service, method, rule = route.split(" ")
    names = good.mine(stage) if good.mine else good.path
    path = rule
    for name, value in names.items():
        path = path.replace(f"<{name}>", value)
    if service != "gateway":
        path = f"/{service}{path}"

    heard, wanted = {}, {}
    for who in ASKERS:
        body = good.json() if callable(good.json) else good.json
        how = good.send | ({"json": body} if body is not None else {})
        with stage.ask(who, method, path, **how) as response:
            heard[who] = response.status_code
        wanted[who] = expected(who, guard, good)

    assert heard == wanted
