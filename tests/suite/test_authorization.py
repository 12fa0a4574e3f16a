"""Authorisation matrix: every route is requested by every kind of caller.

The permissions are those that the views declare; the table adds a valid request for each route and
its status. A route without a table row fails the test.
"""

import importlib
import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import jwt
import pytest
import requests

from backend.chassis.catalog import CATALOG
from backend.security import BUILT_IN_ROLES
from backend.security.guards import Guard, get_guard
from tests.databases import variables_in
from tests.documents import TextLine, pdf
from tests.identities import Identities
from tests.suite.conftest import PASSWORD, UserClient

pytestmark = pytest.mark.suite

_numbers = count()
# A proof is valid for five minutes.
_PROOF_SECONDS = 120
# Kinds of callers. `owner` comes last, because some requests consume the resource.
CALLERS = (
    "anonymous",
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
FEW_CALLERS = ("anonymous", "viewer", "neighbour", "foreign_admin", "owner")
_COMMON_ROUTES = {
    "GET /health": 200,
    "GET /health/live": 200,
    "GET /health/ready": 200,
    "GET /info": 200,
    "GET /openapi.json": 200,
    "GET /docs": 200,
    "GET /docs/<name>": 200,
}


@dataclass(frozen=True)
class RouteCase:
    """A valid request to a route and its status for permitted callers.

    Attributes:
        resource: creates the resource that the path names. For all callers except its
            owner and those in *visible_to* it does not exist.
        needs_session: the route is about the caller and needs a session opened by auth. Other
            callers have a token of a session with a recent proof.
        api_key_status: status for an API key, if it differs.
    """

    status: int
    json: Any = None
    path: dict[str, str] = field(default_factory=dict)
    resource: Callable[["Stage"], dict[str, str]] | None = None
    send: dict[str, Any] | Callable[[], dict[str, Any]] = field(default_factory=dict)
    visible_to: tuple[str, ...] = ()
    needs_session: bool = False
    api_key_status: int | None = None


@dataclass
class Stage:
    """The running suite with the credentials of all callers."""

    url: str
    tokens: dict[str, dict[str, str]]
    home: str
    new_user: Callable[[], UserClient]
    proved_at: float = -math.inf

    def prove_presence(self) -> None:
        """Renew the proofs of all sessions, which sensitive requests need."""
        if time.monotonic() - self.proved_at < _PROOF_SECONDS:
            return
        self.proved_at = time.monotonic()
        for who, headers in self.tokens.items():
            if who not in ("anonymous", "expired", "key"):
                response = requests.post(
                    f"{self.url}/auth/reauthenticate",
                    json={"password": PASSWORD},
                    headers=headers,
                    timeout=30,
                )
                assert response.status_code == 204, (who, response.text)

    def send_request(self, who: str, method: str, path: str, **options: Any) -> requests.Response:
        options.setdefault("headers", self.tokens[who])
        return requests.request(method, self.url + path, timeout=30, stream=True, **options)

    def create(self, path: str, body: Any, key: str, by: str = "owner") -> str:
        response = self.send_request(by, "POST", path, json=body)
        assert response.status_code in (200, 201), response.text
        return str(response.json()[key])

    def create_credentials(self, who: str) -> dict[str, str]:
        """Return the credentials of a new user: a session, or an API key for the caller `key`."""
        person = self.new_user()
        if who != "key":
            return {"Authorization": str(person.session.headers["Authorization"])}
        return {"X-API-Key": person("POST", "/auth/api-keys", json=NARROW).json()["key"]}

    def member(self) -> dict[str, str]:
        return {"user_id": self.create("/auth/users", new_user(), "id", by="home_admin")}

    def service_account(self) -> dict[str, str]:
        return {"account_id": self.create("/auth/service-accounts", NARROW, "id", by="home_admin")}

    def invitation(self) -> dict[str, str]:
        path = "/auth/invitations"
        return {"invitation_id": self.create(path, new_invitation(), "id", by="home_admin")}

    def unused_role(self) -> dict[str, str]:
        return {"name": f"reader-{next(_numbers)}"}

    def role(self) -> dict[str, str]:
        role = self.unused_role()
        response = self.send_request(
            "home_admin", "PUT", f"/auth/roles/{role['name']}", json=READER
        )
        assert response.status_code == 201, response.text
        return role

    def tenant(self) -> dict[str, str]:
        return {"tenant_id": self.create("/auth/tenants", {"name": "A team"}, "id", by="admin")}

    def membership(self) -> dict[str, str]:
        return {"tenant_id": self.home} | self.member()

    def guest(self) -> dict[str, str]:
        """Add a user with their own tenant as a member of the home tenant."""
        names = {"tenant_id": self.home, "user_id": self.new_user().account["user"]["id"]}
        path = f"/auth/tenants/{names['tenant_id']}/members/{names['user_id']}"
        response = self.send_request("admin", "PUT", path, json={"roles": ["viewer"]})
        assert response.status_code in (200, 201), response.text
        return names

    def document(self) -> dict[str, str]:
        text = f"Sentence number {next(_numbers)} of the matrix."
        return self.upload("passage.txt", text.encode())

    def page(self) -> dict[str, str]:
        line = TextLine(72, 700, f"Sentence number {next(_numbers)} of the matrix.")
        return self.upload("page.pdf", pdf([line])) | {"number": "1"}

    def upload(self, name: str, content: bytes) -> dict[str, str]:
        files = {"file": (name, content)}
        response = self.send_request("owner", "POST", "/rag/documents?wait=30", files=files)
        assert response.status_code == 201, response.text
        return {"document_id": response.json()["documents"][0]["id"]}

    def collection(self) -> dict[str, str]:
        name = f"shelf-{next(_numbers)}"
        self.create("/rag/collections", {"name": name}, "name")
        return {"name": name}

    def granted_collection(self) -> dict[str, str]:
        return self.collection() | {"user_id": "unknown-user"}

    def chat_conversation(self) -> dict[str, str]:
        body = {"content": "How much is 6 times 7?"}
        return {"conversation_id": self.create("/chat/message?wait=0", body, "conversation_id")}

    def chat_message(self) -> dict[str, str]:
        body = {"content": "How much is 6 times 7?"}
        response = self.send_request("owner", "POST", "/chat/message?wait=0", json=body)
        assert response.status_code == 201, response.text
        message = response.json()["message"]
        names = {"conversation_id": message["conversation_id"], "message_id": message["id"]}
        return names | {"emoji": "👍"}

    def chat_account(self) -> dict[str, str]:
        body = {"channel": "generic", "name": "Shop"}
        return {"account_id": self.create("/chat/accounts", body, "id", by="home_admin")}

    def chat_hook(self) -> dict[str, str]:
        return {"hook_id": self.create("/chat/hooks", HOOK, "id", by="home_admin")}

    def conversation(self) -> dict[str, str]:
        body = {"user_request": "How much is 6 times 7?"}
        return {"session_id": self.create("/agent/query", body, "session_id")}

    def message(self) -> dict[str, str]:
        path_values = self.conversation()
        shown = self.send_request(
            "owner", "GET", f"/agent/sessions/{path_values['session_id']}"
        ).json()
        return path_values | {"message_id": shown["messages"][0]["id"]}

    def run(self) -> dict[str, str]:
        path_values = self.conversation()
        path = f"/agent/sessions/{path_values['session_id']}"
        answer = self.send_request("owner", "GET", path).json()["messages"][-1]
        return path_values | {"run_id": answer["run_id"]}

    def rated_message(self) -> dict[str, str]:
        path_values = self.conversation()
        path = f"/agent/sessions/{path_values['session_id']}/feedback"
        return path_values | {"message_id": self.create(path, {"thumb": "up"}, "message_id")}

    def package(self) -> dict[str, str]:
        return {"package_id": self.create("/packages", package(), "id")}

    def webhook_account(self) -> dict[str, str]:
        return {"account_id": self.create("/packages/webhook-accounts", WEBHOOKS, "id")}

    def persona(self) -> dict[str, str]:
        return {"persona_id": self.create("/agent/personas", persona(), "id")}


def package() -> dict[str, str]:
    return {"tracking_number": f"MATRIX{next(_numbers):08}", "carrier": "local"}


def persona() -> dict[str, str]:
    return {"name": f"persona-{next(_numbers)}", "system_prompt": "Answer in verse."}


def new_user() -> dict[str, str]:
    return {"username": f"matrix-{time.time_ns()}", "password": PASSWORD}


def new_text() -> bytes:
    return f"A note of the matrix, {time.time_ns()}.".encode()


def new_invitation() -> dict[str, str]:
    return {"email": f"guest-{time.time_ns()}@example.org"}


ADMINS = ("admin", "home_admin")
# Packages belong to all users of a tenant.
TENANT = ("viewer", "neighbour", "home_admin")
NARROW = {"name": "narrow", "permissions": ["rag:read"]}
READER = {"permissions": ["rag:read"]}
CHANGE = {"current_password": PASSWORD, "new_password": "another pass 456"}
HOOK = {
    "name": "CRM",
    "url": "https://crm.example.org/",
    "events": ["chat.message-created"],
}
ASK = {"user_request": "How much is 6 times 7?"}
CHAT = {"model": "embedded-lite", "messages": [{"role": "user", "content": "6 times 7?"}]}
WEBHOOKS = {"source": "easypost", "name": "Shop", "secret": "a secret of the matrix"}
SCAN = {"events": [{"code": "departed", "occurred_at": "2026-01-31T12:00:00Z"}]}
EPCIS = {"type": "EPCISDocument", "epcisBody": {"eventList": []}}
UPLOAD = {"files": {"file": ("note.txt", b"A note of the matrix.")}, "params": {"wait": 30}}

_UNKNOWN_MESSAGE = {"conversation_id": "unknown", "message_id": "unknown"}
_UNKNOWN_ACCOUNT = {"channel": "generic", "account": "unknown"}
_UNKNOWN_CONTACT = {"contact_id": "unknown"}
_TEAM = ("home_admin",)
CHAT_ROUTES = {
    "chat POST /message": RouteCase(201, json={"content": "Hello"}, send={"params": {"wait": 0}}),
    "chat GET /conversations": RouteCase(200),
    "chat GET /conversations/<conversation_id>": RouteCase(
        200, resource=Stage.chat_conversation, visible_to=_TEAM
    ),
    "chat PATCH /conversations/<conversation_id>": RouteCase(
        200, json={"title": "x"}, resource=Stage.chat_conversation, visible_to=_TEAM
    ),
    "chat DELETE /conversations/<conversation_id>": RouteCase(
        204, resource=Stage.chat_conversation, visible_to=_TEAM
    ),
    "chat PUT /conversations/<conversation_id>/read": RouteCase(
        200, json={"seq": 1}, resource=Stage.chat_conversation, visible_to=_TEAM
    ),
    "chat POST /conversations/<conversation_id>/typing": RouteCase(
        202, resource=Stage.chat_conversation, visible_to=_TEAM
    ),
    "chat GET /conversations/<conversation_id>/events": RouteCase(
        200, resource=Stage.chat_conversation, visible_to=_TEAM
    ),
    "chat GET /conversations/<conversation_id>/attachments/<attachment_id>": RouteCase(
        404, path={"conversation_id": "conv_unknown", "attachment_id": "att_unknown"}
    ),
    "chat POST /conversations/<conversation_id>/attachments": RouteCase(
        201,
        send={"files": UPLOAD["files"]},
        resource=Stage.chat_conversation,
        visible_to=_TEAM,
    ),
    "chat GET /conversations/<conversation_id>/messages": RouteCase(
        200, resource=Stage.chat_conversation, visible_to=_TEAM
    ),
    "chat POST /conversations/<conversation_id>/messages": RouteCase(
        201, json={"content": "Hello"}, resource=Stage.chat_conversation, visible_to=_TEAM
    ),
    # A colleague sees the message, but only its author edits it.
    "chat PATCH /conversations/<conversation_id>/messages/<message_id>": RouteCase(
        404, json={"content": "Hello"}, path=_UNKNOWN_MESSAGE
    ),
    "chat DELETE /conversations/<conversation_id>/messages/<message_id>": RouteCase(
        204, resource=Stage.chat_message, visible_to=_TEAM
    ),
    **{
        f"chat {method} /conversations/<conversation_id>/messages/<message_id>"
        "/reactions/<emoji>": RouteCase(200, resource=Stage.chat_message, visible_to=_TEAM)
        for method in ("PUT", "DELETE")
    },
    "chat GET /search": RouteCase(200, send={"params": {"q": "hello"}}),
    "chat GET /stats": RouteCase(200),
    "chat GET /history": RouteCase(200),
    "chat GET /history/export": RouteCase(200),
    "chat DELETE /history/<conversation_id>": RouteCase(
        204, resource=Stage.chat_conversation, visible_to=_TEAM
    ),
    "chat DELETE /history/people/<person>": RouteCase(404, path={"person": "contact:unknown"}),
    "chat GET /retention": RouteCase(200),
    "chat PUT /retention": RouteCase(200, json={"days": None}),
    "chat GET /accounts": RouteCase(200),
    "chat POST /accounts": RouteCase(201, json={"channel": "generic", "name": "Shop"}),
    "chat GET /accounts/<account_id>": RouteCase(
        200, resource=Stage.chat_account, visible_to=_TEAM
    ),
    "chat PATCH /accounts/<account_id>": RouteCase(
        200, json={"name": "x"}, resource=Stage.chat_account, visible_to=_TEAM
    ),
    "chat DELETE /accounts/<account_id>": RouteCase(
        204, resource=Stage.chat_account, visible_to=_TEAM
    ),
    "chat POST /accounts/<account_id>/check": RouteCase(
        200, resource=Stage.chat_account, visible_to=_TEAM
    ),
    "chat GET /contacts": RouteCase(200),
    "chat GET /contacts/<contact_id>": RouteCase(404, path=_UNKNOWN_CONTACT),
    "chat PATCH /contacts/<contact_id>": RouteCase(404, json={}, path=_UNKNOWN_CONTACT),
    "chat DELETE /contacts/<contact_id>": RouteCase(404, path=_UNKNOWN_CONTACT),
    "chat POST /contacts/<contact_id>/merge": RouteCase(
        404, json={"into_id": "other"}, path=_UNKNOWN_CONTACT
    ),
    "chat POST /contacts/<contact_id>/link": RouteCase(
        404, json={"user_id": None}, path=_UNKNOWN_CONTACT
    ),
    "chat GET /hooks": RouteCase(200),
    "chat POST /hooks": RouteCase(201, json=HOOK),
    "chat PATCH /hooks/<hook_id>": RouteCase(
        200, json={"is_enabled": False}, resource=Stage.chat_hook, visible_to=_TEAM
    ),
    "chat DELETE /hooks/<hook_id>": RouteCase(204, resource=Stage.chat_hook, visible_to=_TEAM),
    "chat GET /templates": RouteCase(200),
    # VOICE_STT and VOICE_TTS are off.
    "chat POST /v1/audio/speech": RouteCase(404, json={"model": "tts-1", "input": "Hello"}),
    "chat POST /v1/audio/transcriptions": RouteCase(404),
    "chat POST /templates/sync": RouteCase(404, json={"account_id": "acc_unknown"}),
    "chat GET /deliveries": RouteCase(200),
    "chat GET /media/<token>": RouteCase(404, path={"token": "att_1.1800000000.signature"}),
    **{
        f"chat POST /deliveries/<delivery_id>/{action}": RouteCase(
            404, path={"delivery_id": "unknown"}
        )
        for action in ("retry", "cancel")
    },
    "chat GET /inbound": RouteCase(200),
    "chat POST /inbound/<inbound_id>/replay": RouteCase(404, path={"inbound_id": "unknown"}),
    "chat GET /widget.js": RouteCase(200),
    "chat GET /widget/<version>/<name>": RouteCase(
        404, path={"version": "0123456789ab", "name": "frame.js"}
    ),
    **{
        f"chat {route}": RouteCase(404, json=body, path={"account": "acc_unknown"})
        for route, body in (
            ("GET /web/<account>", None),
            ("GET /web/<account>/events", None),
            ("GET /web/<account>/messages", None),
            ("POST /web/<account>/messages", {"content": "Hello"}),
            ("POST /web/<account>/sessions", {}),
            ("POST /web/<account>/typing", {}),
            ("PUT /web/<account>/read", {"seq": 1}),
        )
    },
    # Served at /webhook only.
    **{
        f"chat {method} /webhook/<channel>/<account>": RouteCase(404, path=_UNKNOWN_ACCOUNT)
        for method in ("GET", "POST")
    },
}

ROUTES: dict[str, RouteCase] = {
    "auth GET /.well-known/jwks.json": RouteCase(200),
    "auth POST /register": RouteCase(201, json=new_user),
    "auth POST /login": RouteCase(401, json=new_user),
    "auth POST /refresh": RouteCase(401, json={"refresh_token": "rt_unknown"}),
    # Internal, like /metrics of every service: not exposed by the gateway.
    "auth POST /api-keys/exchange": RouteCase(404, json={"key": "aas_unknown"}),
    "auth POST /internal/audit-events": RouteCase(404, json={"events": []}),
    "auth POST /internal/delegations": RouteCase(
        404, json={"session_id": "1", "tenant_id": "1", "permissions": ["rag:read"]}
    ),
    "auth POST /internal/clerk/exchange": RouteCase(404, json={"token": "a.b.c"}),
    # No Clerk application is configured.
    "auth POST /clerk/webhook": RouteCase(404),
    "auth POST /setup": RouteCase(400, json={"token": "unknown", "password": "another pass 456"}),
    "auth POST /password/forgot": RouteCase(202, json={"username": "unknown"}),
    "auth POST /password/reset": RouteCase(
        400, json={"token": "unknown", "new_password": "another pass 456"}
    ),
    "auth GET /me": RouteCase(200, needs_session=True),
    "auth POST /email/confirm": RouteCase(400, json={"token": "unknown"}),
    "auth POST /reauthenticate": RouteCase(
        204, json={"password": PASSWORD}, needs_session=True, api_key_status=403
    ),
    "auth PATCH /me": RouteCase(200, json={"display_name": "x"}, needs_session=True),
    "auth GET /me/sessions": RouteCase(200, needs_session=True),
    "auth DELETE /me/sessions/<session_id>": RouteCase(
        404, path={"session_id": "no"}, needs_session=True, api_key_status=403
    ),
    "auth GET /me/activity": RouteCase(200, needs_session=True),
    "auth POST /logout": RouteCase(204, needs_session=True, api_key_status=403),
    "auth POST /logout/all": RouteCase(204, needs_session=True, api_key_status=403),
    "auth POST /password/change": RouteCase(
        204, json=CHANGE, needs_session=True, api_key_status=403
    ),
    "auth POST /mfa/totp": RouteCase(200, needs_session=True, api_key_status=403),
    "auth POST /mfa/totp/confirm": RouteCase(
        409, json={"code": "000000"}, needs_session=True, api_key_status=403
    ),
    "auth DELETE /mfa/totp": RouteCase(
        409, json={"password": PASSWORD, "code": "000000"}, needs_session=True, api_key_status=403
    ),
    "auth GET /oidc": RouteCase(200),
    "auth GET /oidc/<provider>/login": RouteCase(404, path={"provider": "anonymous"}),
    "auth GET /oidc/<provider>/callback": RouteCase(422, path={"provider": "anonymous"}),
    "auth POST /oidc/<provider>/exchange": RouteCase(
        404, json={"id_token": "a.b.c"}, path={"provider": "anonymous"}
    ),
    "auth POST /api-keys": RouteCase(201, json=NARROW, needs_session=True),
    "auth GET /api-keys": RouteCase(200, needs_session=True),
    "auth DELETE /api-keys/<key_id>": RouteCase(
        404, path={"key_id": "no"}, needs_session=True, api_key_status=403
    ),
    "auth GET /audit": RouteCase(200),
    "auth GET /users": RouteCase(200),
    "auth POST /users": RouteCase(201, json=new_user),
    "auth GET /users/<user_id>": RouteCase(200, resource=Stage.member, visible_to=ADMINS),
    "auth PATCH /users/<user_id>": RouteCase(
        200, json={"display_name": "x"}, resource=Stage.member, visible_to=ADMINS
    ),
    "auth DELETE /users/<user_id>": RouteCase(204, resource=Stage.member, visible_to=ADMINS),
    "auth POST /users/<user_id>/unlock": RouteCase(204, resource=Stage.member, visible_to=ADMINS),
    # Invitations belong to a tenant: each administrator invites into their own tenant.
    "auth POST /invitations": RouteCase(201, json=new_invitation),
    "auth GET /invitations": RouteCase(200),
    "auth GET /invitations/<invitation_id>": RouteCase(
        200, resource=Stage.invitation, visible_to=("home_admin",)
    ),
    "auth DELETE /invitations/<invitation_id>": RouteCase(
        204, resource=Stage.invitation, visible_to=("home_admin",)
    ),
    "auth POST /invitations/accept": RouteCase(
        400, json={"token": "unknown", "username": "guest", "password": "another pass 456"}
    ),
    # Service accounts belong to a tenant: each administrator creates one in their own tenant.
    "auth POST /service-accounts": RouteCase(201, json=NARROW),
    "auth GET /service-accounts": RouteCase(200),
    "auth GET /service-accounts/<account_id>": RouteCase(
        200, resource=Stage.service_account, visible_to=("home_admin",)
    ),
    "auth POST /service-accounts/<account_id>/rotate": RouteCase(
        201, resource=Stage.service_account, visible_to=("home_admin",)
    ),
    "auth DELETE /service-accounts/<account_id>": RouteCase(
        204, resource=Stage.service_account, visible_to=("home_admin",)
    ),
    "auth GET /roles": RouteCase(200),
    # Roles belong to a tenant: each administrator creates one in their own tenant.
    "auth PUT /roles/<name>": RouteCase(
        201,
        json=READER,
        resource=Stage.unused_role,
        visible_to=(*ADMINS, "foreign_admin"),
    ),
    "auth DELETE /roles/<name>": RouteCase(204, resource=Stage.role, visible_to=("home_admin",)),
    "auth GET /colleagues": RouteCase(200),
    "auth GET /tenants": RouteCase(200),
    "auth POST /tenants": RouteCase(201, json=lambda: {"name": f"Team {time.time_ns()}"}),
    "auth PATCH /tenants/<tenant_id>": RouteCase(
        200, json={"name": "Another"}, resource=Stage.tenant, visible_to=("admin",)
    ),
    "auth DELETE /tenants/<tenant_id>": RouteCase(
        204, resource=Stage.tenant, visible_to=("admin",)
    ),
    "auth GET /tenants/<tenant_id>/members": RouteCase(
        200, resource=Stage.membership, visible_to=ADMINS
    ),
    "auth GET /tenants/<tenant_id>/members/<user_id>": RouteCase(
        200, resource=Stage.membership, visible_to=ADMINS
    ),
    "auth PUT /tenants/<tenant_id>/members/<user_id>": RouteCase(
        200, json={"roles": ["viewer"]}, resource=Stage.membership, visible_to=ADMINS
    ),
    "auth DELETE /tenants/<tenant_id>/members/<user_id>": RouteCase(
        204, resource=Stage.guest, visible_to=ADMINS
    ),
    "agent GET /models": RouteCase(200),
    "agent GET /tools": RouteCase(200),
    "realtime POST /tickets": RouteCase(201),
    "realtime GET /topics": RouteCase(200),
    "realtime GET /history/<topic>": RouteCase(200, path={"topic": "user"}),
    "realtime GET /presence/<topic>": RouteCase(404, path={"topic": "unknown"}),
    # Publications to a tenant that the caller has not selected are rejected.
    "realtime POST /publish": RouteCase(
        403, json={"tenant_id": "foreign", "topic": "packages", "data": {}}
    ),
    "realtime GET /notifications": RouteCase(200),
    "realtime PUT /notifications/read": RouteCase(200, json={"offset": 0}),
    "packages GET /packages": RouteCase(200),
    "packages POST /packages": RouteCase(201, json=package),
    "packages GET /packages/stats": RouteCase(200),
    "packages GET /packages/positions": RouteCase(200),
    "packages GET /packages/export": RouteCase(200),
    "packages POST /packages/import": RouteCase(415, send={"data": b"tracking_number"}),
    "packages POST /packages/epcis": RouteCase(200, json=EPCIS),
    "packages GET /packages/<package_id>": RouteCase(
        200, resource=Stage.package, visible_to=TENANT
    ),
    "packages PUT /packages/<package_id>": RouteCase(
        200, json={}, resource=Stage.package, visible_to=TENANT
    ),
    "packages PATCH /packages/<package_id>": RouteCase(
        200, json={}, resource=Stage.package, visible_to=TENANT
    ),
    "packages DELETE /packages/<package_id>": RouteCase(
        204, resource=Stage.package, visible_to=TENANT
    ),
    "packages GET /packages/<package_id>/events": RouteCase(
        200, resource=Stage.package, visible_to=TENANT
    ),
    "packages POST /packages/<package_id>/events": RouteCase(
        200, json=SCAN, resource=Stage.package, visible_to=TENANT
    ),
    "packages GET /packages/<package_id>/epcis": RouteCase(
        200, resource=Stage.package, visible_to=TENANT
    ),
    **{
        f"packages {route}/<package_id>": RouteCase(200, resource=Stage.package, visible_to=TENANT)
        for route in (
            "POST /agents/investigate/anomaly",
            "POST /agents/investigate/delay",
            "POST /agents/optimize/route",
            "POST /agents/predict",
            "GET /agents/investigations",
        )
    },
    # The package of the tour does not exist.
    "packages POST /agents/optimize/tour": RouteCase(
        422,
        json={"depot": {"lat": 50, "lon": 8}, "vehicles": 1, "package_ids": ["unknown"]},
    ),
    "packages GET /agents/tours/<tour_id>": RouteCase(404, path={"tour_id": "unknown"}),
    "packages POST /packages/webhooks/<source>/<account_id>": RouteCase(
        401, path={"source": "easypost", "account_id": "unknown"}, send={"data": b"{}"}
    ),
    "packages GET /packages/webhook-accounts": RouteCase(200),
    "packages POST /packages/webhook-accounts": RouteCase(201, json=WEBHOOKS),
    "packages PATCH /packages/webhook-accounts/<account_id>": RouteCase(
        200, resource=Stage.webhook_account, visible_to=TENANT, json={"name": "Shop"}
    ),
    "packages DELETE /packages/webhook-accounts/<account_id>": RouteCase(
        204, resource=Stage.webhook_account, visible_to=TENANT
    ),
    "packages GET /packages/webhook-accounts/<account_id>/deliveries": RouteCase(
        200, resource=Stage.webhook_account, visible_to=TENANT
    ),
    "packages POST /packages/webhook-accounts/<account_id>/deliveries/<delivery_id>/replay": (
        RouteCase(404, path={"account_id": "unknown", "delivery_id": "unknown"})
    ),
    "agent POST /query": RouteCase(200, json=ASK),
    "agent GET /sessions": RouteCase(200),
    "agent POST /internal/sessions/delete": RouteCase(404, json={"ids": ["unknown"]}),
    "agent POST /sessions": RouteCase(201, json={"origin": "chat"}),
    "agent POST /sessions/<session_id>/messages": RouteCase(
        201,
        json={"messages": [{"role": "assistant", "content": "Hello."}]},
        resource=Stage.conversation,
    ),
    "agent GET /sessions/<session_id>": RouteCase(200, resource=Stage.conversation),
    "agent PATCH /sessions/<session_id>": RouteCase(
        200, json={"title": "x"}, resource=Stage.conversation
    ),
    "agent POST /sessions/<session_id>/messages/<message_id>/edit": RouteCase(
        200, json=ASK, resource=Stage.message
    ),
    "agent POST /sessions/<session_id>/messages/<message_id>/regenerate": RouteCase(
        200, resource=Stage.message
    ),
    "agent DELETE /sessions/<session_id>": RouteCase(204, resource=Stage.conversation),
    "agent POST /sessions/<session_id>/cancel": RouteCase(202, resource=Stage.conversation),
    "agent POST /sessions/<session_id>/resume": RouteCase(
        409, json={"decision": "approve"}, resource=Stage.conversation
    ),
    "agent POST /sessions/<session_id>/feedback": RouteCase(
        201, json={"thumb": "up"}, resource=Stage.conversation
    ),
    "agent GET /sessions/<session_id>/feedback": RouteCase(200, resource=Stage.conversation),
    "agent DELETE /sessions/<session_id>/feedback/<message_id>": RouteCase(
        204, resource=Stage.rated_message
    ),
    "agent GET /feedback": RouteCase(200),
    "agent POST /mcp": RouteCase(200, json={"jsonrpc": "2.0", "id": 1, "method": "ping"}),
    "agent GET /sessions/<session_id>/events": RouteCase(200, resource=Stage.conversation),
    "agent GET /sessions/<session_id>/runs/<run_id>": RouteCase(200, resource=Stage.run),
    "agent GET /drift": RouteCase(200),
    "agent GET /personas": RouteCase(200),
    "agent POST /personas": RouteCase(201, json=persona),
    "agent GET /personas/<persona_id>": RouteCase(200, resource=Stage.persona),
    "agent PUT /personas/<persona_id>": RouteCase(200, json=persona, resource=Stage.persona),
    "agent DELETE /personas/<persona_id>": RouteCase(204, resource=Stage.persona),
    "agent GET /usage": RouteCase(200),
    "agent GET /usage/tenant": RouteCase(200),
    "agent GET /v1/models": RouteCase(200),
    "agent GET /v1/models/<path:model>": RouteCase(404, path={"model": "unknown"}),
    "agent POST /v1/chat/completions": RouteCase(200, json=CHAT),
    **CHAT_ROUTES,
    "rag GET /collections": RouteCase(200),
    "rag POST /collections": RouteCase(201, json=lambda: {"name": f"new-{time.time_ns()}"}),
    "rag GET /collections/<name>": RouteCase(200, resource=Stage.collection),
    "rag PATCH /collections/<name>": RouteCase(
        200, json={"description": "x"}, resource=Stage.collection
    ),
    "rag DELETE /collections/<name>": RouteCase(204, resource=Stage.collection),
    "rag PUT /collections/<name>/grants/<user_id>": RouteCase(
        200, json={"access": "read"}, resource=Stage.granted_collection
    ),
    "rag DELETE /collections/<name>/grants/<user_id>": RouteCase(
        204, resource=Stage.granted_collection
    ),
    "rag POST /documents": RouteCase(
        201,
        send=lambda: {"files": {"file": ("note.txt", new_text())}, "params": {"wait": 30}},
    ),
    "rag GET /documents": RouteCase(200),
    "rag GET /documents/<document_id>": RouteCase(200, resource=Stage.document),
    "rag PATCH /documents/<document_id>": RouteCase(
        200, json={"title": "x"}, resource=Stage.document
    ),
    "rag DELETE /documents/<document_id>": RouteCase(204, resource=Stage.document),
    "rag GET /documents/<document_id>/chunks": RouteCase(200, resource=Stage.document),
    "rag GET /documents/<document_id>/content": RouteCase(200, resource=Stage.document),
    "rag GET /documents/<document_id>/text": RouteCase(200, resource=Stage.document),
    "rag GET /documents/<document_id>/events": RouteCase(200, resource=Stage.document),
    **{
        f"rag GET /documents/<document_id>/pages/<number>{suffix}": RouteCase(
            200, resource=Stage.page
        )
        for suffix in ("", ".png", ".webp")
    },
    "rag POST /documents/<document_id>/reindex": RouteCase(202, resource=Stage.document),
    "rag POST /query": RouteCase(200, json={"query": "passage"}),
    "rag POST /search": RouteCase(200, json={"query": "passage"}),
    **{
        f"{name} GET /stats": RouteCase(200)
        for name in ("auth", "agent", "rag", "admin", "gateway")
    },
    "admin GET /settings": RouteCase(200),
    "admin GET /limits": RouteCase(200),
    "admin GET /chat/stats": RouteCase(200),
    "admin GET /chat/history": RouteCase(200),
    "admin GET /chat/history/export": RouteCase(200),
    "admin GET /chat/history/<conversation_id>": RouteCase(
        200, resource=Stage.chat_conversation, visible_to=_TEAM
    ),
    "admin DELETE /chat/history/<conversation_id>": RouteCase(
        204, resource=Stage.chat_conversation, visible_to=_TEAM
    ),
    "admin DELETE /chat/history/people/<person>": RouteCase(
        404, path={"person": "contact:unknown"}
    ),
    "admin GET /chat/retention": RouteCase(200),
    "admin PUT /chat/retention": RouteCase(200, json={"days": None}),
    "admin GET /users/<user_id>/stats": RouteCase(404, path={"user_id": "unknown"}),
    "admin GET /me/stats": RouteCase(200),
    "admin GET /operations": RouteCase(200),
    "admin GET /users": RouteCase(200),
    "admin POST /users": RouteCase(201, json=new_user),
    "admin GET /users/<user_id>": RouteCase(200, resource=Stage.member, visible_to=ADMINS),
    "admin PATCH /users/<user_id>": RouteCase(
        200, json={"display_name": "x"}, resource=Stage.member, visible_to=ADMINS
    ),
    "admin DELETE /users/<user_id>": RouteCase(204, resource=Stage.member, visible_to=ADMINS),
    **{
        f"admin POST /users/<user_id>/{action}": RouteCase(
            200, resource=Stage.member, visible_to=ADMINS
        )
        for action in ("disable", "enable")
    },
    "admin POST /users/<user_id>/unlock": RouteCase(204, resource=Stage.member, visible_to=ADMINS),
    "admin GET /drift": RouteCase(200),
    "auth GET /users/<user_id>/stats": RouteCase(404, path={"user_id": "unknown"}),
    "auth GET /me/stats": RouteCase(200),
    **{
        f"{name} GET /users/<user_id>/stats": RouteCase(200, path={"user_id": "unknown"})
        for name in ("agent", "rag", "chat")
    },
    **{f"{name} GET /me/stats": RouteCase(200) for name in ("agent", "rag", "chat")},
    "console GET /": RouteCase(200),
    "console GET /<path:path>": RouteCase(200, path={"path": "documents"}),
    "console GET /assets/<version>/<path:name>": RouteCase(
        404, path={"version": "000000000000", "name": "app.js"}
    ),
    "console POST /code": RouteCase(200, json={"blocks": [{"text": "x"}]}),
    "console POST /formula": RouteCase(200, json={"formulas": [{"tex": "x"}]}),
    "gateway GET /asyncapi.json": RouteCase(200),
    "gateway GET /": RouteCase(200),
    "gateway POST /": RouteCase(200),
    **{
        f"{entry.name} {route}": RouteCase(status, path={"name": "start.js"})
        for entry in CATALOG
        for route, status in _COMMON_ROUTES.items()
    },
    **{f"{entry.name} GET /health/detailed": RouteCase(200) for entry in CATALOG},
    **{f"{entry.name} GET /metrics": RouteCase(404) for entry in CATALOG if not entry.is_gateway},
    "gateway GET /metrics": RouteCase(200),
}


def list_declared_routes() -> Iterator[tuple[str, str, str, Guard]]:
    """Yield (service, method, rule, guard) of every route except forwarding routes."""
    for entry in CATALOG:
        app = importlib.import_module(entry.module).create_app()
        for rule in app.url_map.iter_rules():
            guard = get_guard(app.view_functions[rule.endpoint])
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
        return {f"{s} {method} {rule}": guard for s, method, rule, guard in list_declared_routes()}


@pytest.fixture(scope="module")
def stage(suite) -> Stage:
    secret = (suite.folder / "data" / "secrets" / "JWT_SECRET_KEY").read_text().strip()
    identities = Identities(secret)
    sign_ins = {who: suite.register_user(who.replace("_", "-")).account for who in CALLERS[2:]}
    accounts = {who: sign_in["user"] for who, sign_in in sign_ins.items()}

    def token(who: str, tenant: str, role: str, **claims: object) -> dict[str, str]:
        scope = BUILT_IN_ROLES[role]
        sign_in = sign_ins.get(who, sign_ins["owner"])
        session = jwt.decode(sign_in["access_token"], options={"verify_signature": False})["sid"]
        return identities.bearer(
            sign_in["user"]["id"], tenant_id=tenant, permissions=scope, sid=session, **claims
        )

    admin = token("admin", accounts["admin"]["tenant_id"], "admin")
    home, elsewhere = (shared_tenant(suite.url, admin, name) for name in ("Home", "Elsewhere"))
    past = int(time.time()) - 60
    key = suite.register_user("key")(
        "POST", "/auth/api-keys", json={"name": "one", "permissions": ["rag:read"]}
    )
    assert key.status_code == 201, key.text
    tokens = {
        "anonymous": {},
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
    return Stage(suite.url, tokens, home, lambda: suite.register_user("matrix"))


def shared_tenant(url: str, admin: dict[str, str], name: str) -> str:
    response = requests.post(f"{url}/auth/tenants", json={"name": name}, headers=admin, timeout=10)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


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


def expected_status(who: str, guard: Guard, request: RouteCase) -> int:
    """Return the expected status: authentication, then permission, then ownership."""
    if (guard.public and not request.needs_session) or guard == Guard(internal=True):
        return request.status
    if who in ("anonymous", "expired"):
        return 401
    if guard.permission is not None and guard.permission not in PERMITTED[who]:
        return 403
    if who == "key" and request.api_key_status is not None:
        return request.api_key_status
    return (
        request.status if request.resource is None or who in ("owner", *request.visible_to) else 404
    )


def test_table_lists_exactly_the_routes(guards):
    assert set(guards) == set(ROUTES)


def get_prefix(service: str, rule: str) -> str:
    """Return the prefix of the gateway's path. Paths of packages contain theirs."""
    if service == "gateway" or rule.startswith("/packages"):
        return ""
    return "/api/v1" if rule.startswith("/agents") else f"/{service}"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "callers",
    [
        pytest.param(FEW_CALLERS, id="few callers"),
        pytest.param(CALLERS, id="all callers", marks=pytest.mark.slow),
    ],
)
def test_every_caller_gets_the_expected_status(stage, guards, route, callers):
    request, guard = ROUTES[route], guards[route]
    service, method, rule = route.split(" ")
    stage.prove_presence()
    statuses, expected = {}, {}
    names = request.path
    needs_resource = request.resource is not None
    for who in callers:
        if request.resource and needs_resource:
            names = request.resource(stage)
        path = get_prefix(service, rule)
        path += re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule).format(**names)
        body = request.json() if callable(request.json) else request.json
        options = request.send() if callable(request.send) else request.send
        options = options | ({"json": body} if body is not None else {})
        if request.needs_session and who not in ("anonymous", "expired"):
            options["headers"] = stage.create_credentials(who)
        with stage.send_request(who, method, path, **options) as response:
            statuses[who] = response.status_code
        expected[who] = expected_status(who, guard, request)
        # Only a permitted request consumes the resource.
        needs_resource = method in ("PUT", "DELETE") and expected[who] < 400

    assert statuses == expected
