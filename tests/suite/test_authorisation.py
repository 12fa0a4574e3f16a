"""Every route, asked by everyone: the table says who hears what, and a route without a line fails.

The permissions are those that the views declare; the table adds what a good request is
and what it answers.
"""

import importlib
import re
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
from tests.databases import variables_in
from tests.identities import Identities
from tests.suite.conftest import PASSWORD, Person

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
    "home_admin",
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

    *mine* makes the thing that the path names; to everybody but its owner, and those in
    *also*, it does not exist. *own* routes are about the caller and ask for a session that
    auth itself has opened; *by_key* is what an API key hears there, where it differs.
    """

    status: int
    json: Any = None
    path: dict[str, str] = field(default_factory=dict)
    mine: Callable[["Stage"], dict[str, str]] | None = None
    send: dict[str, Any] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    own: bool = False
    by_key: int | None = None


@dataclass
class Stage:
    """The running suite with everybody on it."""

    url: str
    tokens: dict[str, dict[str, str]]
    home: str
    newcomer: Callable[[], Person]

    def ask(self, who: str, method: str, path: str, **how: Any) -> requests.Response:
        how.setdefault("headers", self.tokens[who])
        return requests.request(method, self.url + path, timeout=30, stream=True, **how)

    def made(self, path: str, body: Any, key: str, by: str = "owner") -> str:
        response = self.ask(by, "POST", path, json=body)
        assert response.status_code in (200, 201), response.text
        return str(response.json()[key])

    def by_themselves(self, who: str) -> dict[str, str]:
        """The credential of somebody new with a session of their own, or with a key of theirs."""
        person = self.newcomer()
        if who != "key":
            return {"Authorization": str(person.session.headers["Authorization"])}
        return {"X-API-Key": person("POST", "/auth/api-keys", json=NARROW).json()["key"]}

    def member(self) -> dict[str, str]:
        return {"user_id": self.made("/auth/users", newcomer(), "id", by="home_admin")}

    def no_role_yet(self) -> dict[str, str]:
        return {"name": f"reader-{next(_numbers)}"}

    def role(self) -> dict[str, str]:
        role = self.no_role_yet()
        response = self.ask("home_admin", "PUT", f"/auth/roles/{role['name']}", json=READER)
        assert response.status_code == 201, response.text
        return role

    def tenant(self) -> dict[str, str]:
        return {"tenant_id": self.made("/auth/tenants", {"name": "A team"}, "id", by="admin")}

    def membership(self) -> dict[str, str]:
        return {"tenant_id": self.home} | self.member()

    def guest(self) -> dict[str, str]:
        """Somebody with a tenant of their own who works in this one as well."""
        names = {"tenant_id": self.home, "user_id": self.newcomer().account["user"]["id"]}
        path = f"/auth/tenants/{names['tenant_id']}/members/{names['user_id']}"
        response = self.ask("admin", "PUT", path, json={"roles": ["viewer"]})
        assert response.status_code in (200, 201), response.text
        return names

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

    def message(self) -> dict[str, str]:
        place = self.conversation()
        shown = self.ask("owner", "GET", f"/agent/sessions/{place['session_id']}").json()
        return place | {"message_id": shown["messages"][0]["id"]}

    def judged(self) -> dict[str, str]:
        place = self.conversation()
        path = f"/agent/sessions/{place['session_id']}/feedback"
        return place | {"message_id": self.made(path, {"thumb": "up"}, "message_id")}

    def persona(self) -> dict[str, str]:
        return {"persona_id": self.made("/agent/personas", persona(), "id")}


def persona() -> dict[str, str]:
    return {"name": f"persona-{next(_numbers)}", "system_prompt": "Answer in verse."}


def newcomer() -> dict[str, str]:
    return {"username": f"matrix-{time.time_ns()}", "password": PASSWORD}


ADMINS = ("admin", "home_admin")
NARROW = {"name": "narrow", "permissions": ["rag:read"]}
READER = {"permissions": ["rag:read"]}
CHANGE = {"current_password": PASSWORD, "new_password": "another pass 456"}
ASK = {"user_request": "How much is 6 times 7?"}
CHAT = {"model": "embedded-lite", "messages": [{"role": "user", "content": "6 times 7?"}]}
UPLOAD = {"files": {"file": ("note.txt", b"A note of the matrix.")}, "params": {"wait": 30}}

ROUTES: dict[str, Good] = {
    "auth GET /.well-known/jwks.json": Good(200),
    "auth POST /register": Good(201, json=newcomer),
    "auth POST /login": Good(401, json={"username": "no-such-person", "password": PASSWORD}),
    "auth POST /refresh": Good(401, json={"refresh_token": "rt_unknown"}),
    # Between services only, like every service's /metrics: from outside it is not there.
    "auth POST /api-keys/exchange": Good(404, json={"key": "aas_unknown"}),
    "auth POST /password/forgot": Good(202, json={"username": "no-such-person"}),
    "auth POST /password/reset": Good(
        400, json={"token": "unknown", "new_password": "another pass 456"}
    ),
    "auth GET /me": Good(200, own=True),
    "auth PATCH /me": Good(200, json={"display_name": "x"}, own=True),
    "auth GET /me/sessions": Good(200, own=True),
    "auth DELETE /me/sessions/<session_id>": Good(404, path={"session_id": "no"}, own=True),
    "auth GET /me/activity": Good(200, own=True),
    "auth POST /logout": Good(204, own=True, by_key=403),
    "auth POST /logout/all": Good(204, own=True),
    "auth POST /password/change": Good(204, json=CHANGE, own=True),
    "auth POST /mfa/totp": Good(200, own=True, by_key=403),
    "auth POST /mfa/totp/confirm": Good(409, json={"code": "000000"}, own=True, by_key=403),
    "auth DELETE /mfa/totp": Good(
        409, json={"password": PASSWORD, "code": "000000"}, own=True, by_key=403
    ),
    "auth GET /oidc": Good(200),
    "auth GET /oidc/<provider>/login": Good(404, path={"provider": "nobody"}),
    "auth GET /oidc/<provider>/callback": Good(422, path={"provider": "nobody"}),
    "auth POST /oidc/<provider>/exchange": Good(
        404, json={"id_token": "a.b.c"}, path={"provider": "nobody"}
    ),
    "auth POST /api-keys": Good(201, json=NARROW, own=True),
    "auth GET /api-keys": Good(200, own=True),
    "auth DELETE /api-keys/<key_id>": Good(404, path={"key_id": "no"}, own=True),
    "auth GET /audit": Good(200),
    "auth GET /users": Good(200),
    "auth POST /users": Good(201, json=newcomer),
    "auth GET /users/<user_id>": Good(200, mine=Stage.member, also=ADMINS),
    "auth PATCH /users/<user_id>": Good(
        200, json={"display_name": "x"}, mine=Stage.member, also=ADMINS
    ),
    "auth DELETE /users/<user_id>": Good(204, mine=Stage.member, also=ADMINS),
    "auth POST /users/<user_id>/unlock": Good(204, mine=Stage.member, also=ADMINS),
    "auth GET /roles": Good(200),
    # A tenant has its own: everybody who may makes one for the tenant they act for.
    "auth PUT /roles/<name>": Good(
        201, json=READER, mine=Stage.no_role_yet, also=(*ADMINS, "foreign_admin")
    ),
    "auth DELETE /roles/<name>": Good(204, mine=Stage.role, also=("home_admin",)),
    "auth GET /tenants": Good(200),
    "auth POST /tenants": Good(201, json=lambda: {"name": f"Team {time.time_ns()}"}),
    "auth PATCH /tenants/<tenant_id>": Good(
        200, json={"name": "Another"}, mine=Stage.tenant, also=("admin",)
    ),
    "auth GET /tenants/<tenant_id>/members": Good(200, mine=Stage.membership, also=ADMINS),
    "auth GET /tenants/<tenant_id>/members/<user_id>": Good(
        200, mine=Stage.membership, also=ADMINS
    ),
    "auth PUT /tenants/<tenant_id>/members/<user_id>": Good(
        200, json={"roles": ["viewer"]}, mine=Stage.membership, also=ADMINS
    ),
    "auth DELETE /tenants/<tenant_id>/members/<user_id>": Good(204, mine=Stage.guest, also=ADMINS),
    "agent GET /models": Good(200),
    "agent GET /tools": Good(200),
    "agent POST /query": Good(200, json=ASK),
    "agent GET /sessions": Good(200),
    "agent GET /sessions/<session_id>": Good(200, mine=Stage.conversation),
    "agent PATCH /sessions/<session_id>": Good(200, json={"title": "x"}, mine=Stage.conversation),
    "agent POST /sessions/<session_id>/messages/<message_id>/edit": Good(
        200, json=ASK, mine=Stage.message
    ),
    "agent POST /sessions/<session_id>/messages/<message_id>/regenerate": Good(
        200, mine=Stage.message
    ),
    "agent DELETE /sessions/<session_id>": Good(204, mine=Stage.conversation),
    "agent POST /sessions/<session_id>/cancel": Good(202, mine=Stage.conversation),
    "agent POST /sessions/<session_id>/resume": Good(
        409, json={"decision": "approve"}, mine=Stage.conversation
    ),
    "agent POST /sessions/<session_id>/feedback": Good(
        201, json={"thumb": "up"}, mine=Stage.conversation
    ),
    "agent GET /sessions/<session_id>/feedback": Good(200, mine=Stage.conversation),
    "agent DELETE /sessions/<session_id>/feedback/<message_id>": Good(204, mine=Stage.judged),
    "agent GET /feedback": Good(200),
    "agent POST /mcp": Good(200, json={"jsonrpc": "2.0", "id": 1, "method": "ping"}),
    "agent GET /sessions/<session_id>/events": Good(200, mine=Stage.conversation),
    "agent GET /personas": Good(200),
    "agent POST /personas": Good(201, json=persona),
    "agent GET /personas/<persona_id>": Good(200, mine=Stage.persona),
    "agent PUT /personas/<persona_id>": Good(200, json=persona, mine=Stage.persona),
    "agent DELETE /personas/<persona_id>": Good(204, mine=Stage.persona),
    "agent GET /usage": Good(200),
    "agent GET /usage/tenant": Good(200),
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
    **{f"{name} GET /stats": Good(200) for name in ("auth", "agent", "rag", "admin", "gateway")},
    "gateway GET /": Good(200),
    "gateway POST /": Good(200),
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
        folder = tmp_path_factory.mktemp("matrix")
        for name, value in {"DATA_DIR": str(folder), **variables_in(folder)}.items():
            patch.setenv(name, value)
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

    admin = token("admin", accounts["admin"]["tenant_id"], "admin")
    home, elsewhere = (shared_tenant(suite.url, admin, name) for name in ("Home", "Elsewhere"))
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
        "foreign_admin": token("foreign_admin", elsewhere, "tenant_admin"),
        "home_admin": token("home_admin", home, "tenant_admin"),
        "admin": admin,
        "key": {"X-API-Key": key.json()["key"]},
        "owner": token("owner", home, "user"),
    }
    return Stage(suite.url, tokens, home, lambda: suite.person("matrix"))


def shared_tenant(url: str, admin: dict[str, str], name: str) -> str:
    made = requests.post(f"{url}/auth/tenants", json={"name": name}, headers=admin, timeout=10)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


PERMITTED: dict[str, frozenset[str]] = {
    "viewer": BUILT_IN_ROLES["viewer"],
    "user": BUILT_IN_ROLES["user"],
    "neighbour": BUILT_IN_ROLES["user"],
    "foreign_admin": BUILT_IN_ROLES["tenant_admin"],
    "home_admin": BUILT_IN_ROLES["tenant_admin"],
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
    if who == "key" and good.by_key is not None:
        return good.by_key
    return good.status if good.mine is None or who in ("owner", *good.also) else 404


def test_every_route_has_a_line_and_every_line_a_route(guards):
    assert set(guards) == set(ROUTES)


@pytest.mark.parametrize("route", ROUTES)
def test_everyone_hears_what_they_should(stage, guards, route):
    good, guard = ROUTES[route], guards[route]
    service, method, rule = route.split(" ")
    heard, wanted = {}, {}
    names = good.mine(stage) if good.mine else good.path
    for who in ASKERS:
        if good.mine and method in ("PUT", "DELETE"):  # the one before may have used it up
            names = good.mine(stage)
        path = "" if service == "gateway" else f"/{service}"
        path += re.sub(r"<(\w+)>", r"{\1}", rule).format(**names)
        body = good.json() if callable(good.json) else good.json
        how = good.send | ({"json": body} if body is not None else {})
        if good.own and who not in ("nobody", "expired"):
            how["headers"] = stage.by_themselves(who)
        with stage.ask(who, method, path, **how) as response:
            heard[who] = response.status_code
        wanted[who] = expected(who, guard, good)

    assert heard == wanted
