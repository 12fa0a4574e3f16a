"""Sends the example of every operation on the gateway's API page to the running suite."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from tests.suite.conftest import ROOT, Suite, UserClient

pytestmark = pytest.mark.suite

_PARAMETER = re.compile(r"\{(\w+)\}")
_METHODS = ("POST", "PUT", "PATCH", "GET", "DELETE")

# Sent before all others, because other examples refer to their results.
FIRST_OPERATIONS = ("POST /auth/register", "POST /auth/login", "POST /rag/documents")

# They end a session or change credentials, so each is sent by a new user.
OPERATIONS_OF_NEW_USERS = (
    "POST /auth/logout",
    "POST /auth/logout/all",
    "POST /auth/mfa/totp",
    "POST /auth/mfa/totp/confirm",
    "POST /auth/password/change",
    "POST /auth/reauthenticate",
    "DELETE /auth/me/sessions/{session_id}",
    "DELETE /auth/mfa/totp",
)

# Streams that end only when the client disconnects.
ENDLESS_STREAMS = ("GET /chat/conversations/{conversation_id}/events",)

# Statuses of examples that cannot succeed in every installation.
EXPECTED_ERRORS = {
    # The user has no TOTP secret, and a code is valid for 30 seconds only.
    "POST /auth/mfa/totp/confirm": 409,
    "DELETE /auth/mfa/totp": 409,
    # The token is in a mail.
    "POST /auth/email/confirm": 400,
    "POST /auth/password/reset": 400,
    "POST /auth/invitations/accept": 400,
    # The start prints the token, unless ADMIN_PASSWORD is set.
    "POST /auth/setup": 400,
    # The document of the example is no PDF.
    "GET /rag/documents/{document_id}/pages/{number}": 404,
    "GET /rag/documents/{document_id}/pages/{number}.png": 404,
    "GET /rag/documents/{document_id}/pages/{number}.webp": 404,
    # The suite has no identity provider.
    "GET /auth/oidc/{provider}/login": 404,
    "GET /auth/oidc/{provider}/callback": 404,
    "POST /auth/oidc/{provider}/exchange": 404,
    "POST /auth/clerk/webhook": 404,
    # The tenant of the example does not exist.
    "POST /realtime/publish": 403,
    # No contact has written yet.
    "GET /chat/contacts/{contact_id}": 404,
    "PATCH /chat/contacts/{contact_id}": 404,
    "DELETE /chat/contacts/{contact_id}": 404,
    "POST /chat/contacts/{contact_id}/link": 404,
    "POST /chat/contacts/{contact_id}/merge": 404,
    "DELETE /chat/history/people/{person}": 404,
    "DELETE /admin/chat/history/people/{person}": 404,
    # Nothing was sent to a channel or received from one.
    "GET /chat/conversations/{conversation_id}/attachments/{attachment_id}": 404,
    "POST /chat/deliveries/{delivery_id}/cancel": 404,
    "POST /chat/deliveries/{delivery_id}/retry": 404,
    "POST /chat/inbound/{inbound_id}/replay": 404,
    # The account of the example does not exist.
    "POST /chat/templates/sync": 404,
    # VOICE_STT and VOICE_TTS are off.
    "POST /v1/audio/speech": 404,
    "POST /v1/audio/transcriptions": 404,
    "POST /chat/v1/audio/speech": 404,
    "POST /chat/v1/audio/transcriptions": 404,
    # The signature of the example is not valid.
    "GET /chat/media/{token}": 404,
    "GET /webhook/{channel}/{account}": 404,
    "POST /webhook/{channel}/{account}": 404,
    # The account of the example does not exist, and its files have another version.
    "GET /chat/web/{account}": 404,
    "GET /chat/web/{account}/events": 404,
    "GET /chat/web/{account}/messages": 404,
    "POST /chat/web/{account}/messages": 404,
    "POST /chat/web/{account}/sessions": 404,
    "POST /chat/web/{account}/typing": 404,
    "PUT /chat/web/{account}/read": 404,
    "GET /chat/widget/{version}/{name}": 404,
    # The package of the example does not exist, and no tour was computed.
    "POST /api/v1/agents/optimize/tour": 422,
    "GET /api/v1/agents/tours/{tour_id}": 404,
    # The account of the example does not exist, and no webhook was received.
    "POST /packages/webhooks/{source}/{account_id}": 401,
    "POST /packages/webhook-accounts/{account_id}/deliveries/{delivery_id}/replay": 404,
    # No tool call of the session waits for approval.
    "POST /agent/sessions/{session_id}/resume": 409,
}


@dataclass
class Operation:
    """One operation of the OpenAPI document."""

    method: str
    path: str
    document: dict[str, Any]

    @property
    def label(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_public(self) -> bool:
        return "security" not in self.document

    @property
    def rank(self) -> tuple[Any, ...]:
        """Sort key: create resources before they are read, delete inner ones before outer ones."""
        first = FIRST_OPERATIONS.index(self.label) if self.label in FIRST_OPERATIONS else 99
        is_nested_post = self.method == "POST" and "{" in self.path
        depth = self.path.count("/")
        return (
            first,
            _METHODS.index(self.method) + is_nested_post,
            -depth if self.method == "DELETE" else depth,
            self.path,
        )

    def get_examples(self, location: str) -> dict[str, str]:
        """Return the examples of the path or query parameters."""
        return {
            parameter["name"]: parameter["example"]
            for parameter in self.document["parameters"]
            if parameter["in"] == location and "example" in parameter
        }

    def create_body(self) -> dict[str, Any]:
        """Return the arguments of `requests` that send the example body."""
        for media_type, body in self.document.get("requestBody", {}).get("content", {}).items():
            if media_type == "application/json":
                return {"json": body["example"]}
            if media_type != "multipart/form-data":
                headers = {"Content-Type": media_type}
                return {"data": body["example"], "headers": headers}
            fields = dict(body["example"])
            content = fields.pop("file")
            texts = [content] if isinstance(content, str) else content
            files = [("file", ("example.txt", text)) for text in texts]
            return {"files": files, "data": fields}
        return {}


@dataclass
class ExampleSender:
    """Sends examples and stores the responses that other examples refer to."""

    suite: Suite
    admin: UserClient
    responses: dict[str, Any] = field(default_factory=dict)

    def send_example(self, operation: Operation) -> requests.Response:
        caller = self._select_caller(operation)
        if caller is self.admin and operation.path.startswith(("/auth/", "/admin/users")):
            self._prove_presence()
        path = self._fill_path(operation, caller)
        options: dict[str, Any] = operation.create_body()
        if operation.path == "/auth/refresh":
            options["json"]["refresh_token"] = self.responses["POST /auth/login"]["refresh_token"]
        options |= {"params": operation.get_examples("query"), "allow_redirects": False}
        if operation.label in ENDLESS_STREAMS:
            with caller(operation.method, path, stream=True, **options) as response:
                return response
        response = caller(operation.method, path, **options)
        if response.headers.get("Content-Type") == "application/json":
            self.responses[operation.label] = response.json()
        if operation.label == "POST /rag/documents":
            self._wait_until_processed()
        return response

    def _prove_presence(self) -> None:
        """Renew the proof of the administrator's session, which sensitive requests need."""
        proof = {"password": self.admin.account["password"]}
        assert self.admin("POST", "/auth/reauthenticate", json=proof).status_code == 204

    def _select_caller(self, operation: Operation) -> UserClient:
        if operation.label in OPERATIONS_OF_NEW_USERS:
            return self.suite.register_user("example")
        if operation.is_public:
            return UserClient(self.suite.url, requests.Session(), {})
        return self.admin

    def _fill_path(self, operation: Operation, caller: UserClient) -> str:
        """Insert examples into the path, and for identifiers those of created resources."""
        examples = operation.get_examples("path")

        def get_value(match: "re.Match[str]") -> str:
            collection = operation.path[: match.start() - 1]
            if collection in IDENTIFIERS:
                return IDENTIFIERS[collection](self, caller)
            return examples[match[1]]

        return _PARAMETER.sub(get_value, operation.path)

    def _wait_until_processed(self) -> None:
        document_id = self.responses["POST /rag/documents"]["documents"][0]["id"]
        # The stream of progress events ends as soon as the document is processed.
        assert self.admin("GET", f"/rag/documents/{document_id}/events").status_code == 200

    def get_current_session(self, caller: UserClient) -> str:
        sessions = caller("GET", "/auth/me/sessions").json()["items"]
        return next(session["id"] for session in sessions if session["current"])

    def create_conversation(self) -> str:
        """Create a conversation of chat, which another example may delete."""
        body = {"content": "Where is my parcel?"}
        response = self.admin("POST", "/chat/message?wait=0", json=body)
        return str(response.json()["conversation_id"])

    def get_request_message(self) -> str:
        session_id = self.responses["POST /agent/query"]["session_id"]
        messages = self.admin("GET", f"/agent/sessions/{session_id}").json()["messages"]
        return str(messages[0]["id"])

    def get_run(self) -> str:
        session_id = self.responses["POST /agent/query"]["session_id"]
        messages = self.admin("GET", f"/agent/sessions/{session_id}").json()["messages"]
        return str(messages[-1]["run_id"])


def from_response(label: str, *keys: str | int) -> Callable[[ExampleSender, UserClient], str]:
    """Return a function that gets an identifier from the stored response of *label*."""

    def get_identifier(sender: ExampleSender, _: UserClient) -> str:
        value = sender.responses[label]
        for key in keys:
            value = value[key]
        return str(value)

    return get_identifier


# Identifiers of created resources by the path in front of the parameter.
IDENTIFIERS: dict[str, Callable[[ExampleSender, UserClient], str]] = {
    "/auth/api-keys": from_response("POST /auth/api-keys", "id"),
    "/auth/invitations": from_response("POST /auth/invitations", "id"),
    "/auth/me/sessions": lambda sender, caller: sender.get_current_session(caller),
    "/auth/service-accounts": from_response("POST /auth/service-accounts", "id"),
    "/auth/tenants": from_response("POST /auth/tenants", "id"),
    "/auth/tenants/{tenant_id}/members": from_response("POST /auth/users", "id"),
    "/auth/users": from_response("POST /auth/users", "id"),
    "/admin/chat/history": lambda sender, _: sender.create_conversation(),
    "/admin/users": from_response("POST /admin/users", "id"),
    "/agent/personas": from_response("POST /agent/personas", "id"),
    "/agent/sessions": from_response("POST /agent/query", "session_id"),
    "/agent/sessions/{session_id}/feedback": from_response(
        "POST /agent/sessions/{session_id}/feedback", "message_id"
    ),
    "/agent/sessions/{session_id}/messages": lambda sender, _: sender.get_request_message(),
    "/agent/sessions/{session_id}/runs": lambda sender, _: sender.get_run(),
    "/chat/accounts": from_response("POST /chat/accounts", "id"),
    "/chat/conversations": from_response("POST /chat/message", "conversation_id"),
    "/chat/conversations/{conversation_id}/messages": from_response(
        "POST /chat/message", "message", "id"
    ),
    "/chat/history": lambda sender, _: sender.create_conversation(),
    "/chat/hooks": from_response("POST /chat/hooks", "id"),
    "/packages": from_response("POST /packages", "id"),
    "/api/v1/agents/investigate/anomaly": from_response("POST /packages", "id"),
    "/api/v1/agents/investigate/delay": from_response("POST /packages", "id"),
    "/api/v1/agents/optimize/route": from_response("POST /packages", "id"),
    "/api/v1/agents/predict": from_response("POST /packages", "id"),
    "/api/v1/agents/investigations": from_response("POST /packages", "id"),
    "/packages/webhook-accounts": from_response("POST /packages/webhook-accounts", "id"),
    "/rag/documents": from_response("POST /rag/documents", "documents", 0, "id"),
}


@pytest.fixture(scope="module")
def admin(suite: Suite) -> UserClient:
    """An administrator created with a command."""
    username = "api-examples"
    process = subprocess.run(
        [sys.executable, "-m", "backend", "users", "create", username, "--role", "admin", "--json"],
        cwd=ROOT,
        env=suite.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    body = {"username": username, "password": json.loads(process.stdout)["password"]}
    account = requests.post(f"{suite.url}/auth/login", json=body, timeout=30).json()
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {account['access_token']}"
    return UserClient(suite.url, session, account | {"password": body["password"]})


@pytest.fixture(scope="module")
def document(suite: Suite) -> dict[str, Any]:
    document: dict[str, Any] = requests.get(f"{suite.url}/openapi.json", timeout=30).json()
    return document


def list_operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield Operation(method.upper(), path, operation)


def test_every_example_is_accepted(subtests, suite, admin, document):
    sender = ExampleSender(suite, admin)
    for operation in sorted(list_operations(document), key=lambda operation: operation.rank):
        with subtests.test(operation=operation.label):
            response = sender.send_example(operation)
            if operation.label in EXPECTED_ERRORS:
                assert response.status_code == EXPECTED_ERRORS[operation.label], response.text
            else:
                assert response.status_code < 400, response.text


def test_groups_are_in_order_with_operations_last(document):
    names = [tag["name"] for tag in document["tags"]]

    assert [name for name in names if name in ("auth", "rag", "agent", "admin")] == [
        "auth",
        "rag",
        "agent",
        "admin",
    ]
    assert names[-1] == "operations"
    assert {tag for item in list_operations(document) for tag in item.document["tags"]} <= set(
        names
    )


def test_description_shows_how_to_get_a_token_and_three_calls(document):
    description = document["info"]["description"]

    for path in ("/auth/register", "/rag/documents", "/rag/search", "/agent/query"):
        assert f"$GATEWAY{path}" in description


def test_gateway_does_not_list_post_of_the_index(document):
    assert set(document["paths"]["/"]) == {"get"}
