"""Audit records of all services in `GET /auth/audit`, also after outages and kills."""

import contextlib
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import requests

from backend.security import BUILT_IN_ROLES
from tests.identities import Identities
from tests.servers import wait_until
from tests.suite.conftest import Suite, UserClient

pytestmark = pytest.mark.suite
_DELIVERY_SECONDS = 60
Search = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def search_audit(suite: Suite) -> Search:
    """Return a function that returns the audit records of a user, oldest first."""
    secret = (suite.folder / "data" / "secrets" / "JWT_SECRET_KEY").read_text().strip()
    scope = BUILT_IN_ROLES["admin"]
    headers = Identities(secret).bearer("auditor", tenant_id="audit", permissions=scope)

    def search(user_id: str) -> list[dict[str, Any]]:
        url = f"{suite.url}/auth/audit?actor={user_id}&limit=200"
        items: list[dict[str, Any]] = requests.get(url, headers=headers, timeout=30).json()["items"]
        return items[::-1]

    return search


def add_document(user: UserClient, collection: str, text: str) -> str:
    files = {"file": ("note.txt", text.encode())}
    data = {"collection": collection}
    response = user("POST", "/rag/documents?wait=60", files=files, data=data)
    assert response.status_code == 201, response.text
    return str(response.json()["documents"][0]["id"])


def decide_about_note(user: UserClient, decision: str, request_id: str) -> None:
    question = {"user_request": f"Save a note: The {decision} key is under the mat."}
    answer = user("POST", "/agent/query", json=question).json()
    assert answer["finish_reason"] == "paused", answer
    response = user(
        "POST",
        f"/agent/sessions/{answer['session_id']}/resume",
        json={"decision": decision},
        headers={"X-Request-ID": request_id},
    )
    assert response.status_code == 200, response.text


def test_operations_of_all_services_are_recorded(suite, ada, search_audit):
    me, shelf = ada.account["user"], {"X-Request-ID": "audit-collection"}
    created = ada("POST", "/rag/collections", json={"name": "audited"}).json()
    document = add_document(ada, "audited", "A document that is deleted.")

    def send(request_id: str, method: str, path: str, **options: Any) -> int:
        headers = {"X-Request-ID": request_id} | options.pop("headers", {})
        return ada(method, path, headers=headers, **options).status_code

    grants = "/rag/collections/audited/grants/user-bob"
    assert send("r-1", "DELETE", f"/rag/documents/{document}") == 204
    share = {"tenant_access": "read"}
    assert send("r-2", "PATCH", "/rag/collections/audited", json=share) == 200
    assert send("r-3", "PUT", grants, json={"access": "read"}) == 200
    assert send("r-4", "DELETE", grants) == 204
    assert send("r-5", "DELETE", "/rag/collections/audited", headers=shelf) == 204
    assert send("r-6", "GET", "/rag/stats") == 403
    assert send("r-7", "GET", "/agent/stats") == 403
    assert send("r-8", "GET", "/auth/users") == 403
    assert send("r-13", "GET", "/admin/stats") == 403
    assert send("r-14", "GET", "/stats") == 403
    question = {"user_request": "How much is 6 times 7?"}
    assert send("r-9", "POST", "/agent/query", json=question) == 200
    decide_about_note(ada, "approve", "r-10")
    decide_about_note(ada, "reject", "r-11")
    key = ada("POST", "/auth/api-keys", json={"name": "audit"}).json()
    for _ in range(2):
        headers = {"X-API-Key": key["key"], "X-Request-ID": "r-12"}
        url = f"{suite.url}/rag/documents"
        assert requests.get(url, headers=headers, timeout=30).status_code == 200

    collection, tenant = created["id"], me["tenant_id"]
    expected = {
        ("document.delete", "success", document, "r-1"),
        ("collection.share", "success", collection, "r-2"),
        ("collection.grant", "success", collection, "r-3"),
        ("collection.grant", "success", collection, "r-4"),
        ("collection.delete", "success", collection, "audit-collection"),
        ("access.denied", "permission_denied", "GET /stats", "r-6"),
        ("access.denied", "permission_denied", "GET /stats", "r-7"),
        ("access.denied", "permission_denied", "GET /users", "r-8"),
        ("access.denied", "permission_denied", "GET /stats", "r-13"),
        ("access.denied", "permission_denied", "GET /stats", "r-14"),
        ("tool.run", "success", "calculate", "r-9"),
        ("tool.approved", "success", "save_note", "r-10"),
        ("tool.run", "success", "save_note", "r-10"),
        ("tool.refused", "rejected", "save_note", "r-11"),
        ("api_key.use", "success", key["id"], "r-12"),
    }

    def find_records() -> set[tuple[str, str, str, str]]:
        return {
            (record["action"], record["outcome"], record["target"], record["request_id"])
            for record in search_audit(me["id"])
            if (record["tenant_id"], record["address"]) == (tenant, "127.0.0.1")
        }

    with contextlib.suppress(AssertionError):  # the next line shows the missing records
        wait_until(lambda: expected <= find_records(), seconds=_DELIVERY_SECONDS)
    assert expected - find_records() == set()
    uses = [r for r in search_audit(me["id"]) if r["action"] == "api_key.use"]
    assert [record["count"] for record in uses] == [1]


def deletions(search_audit: Search, user: UserClient) -> list[str]:
    records = search_audit(user.account["user"]["id"])
    return [record["target"] for record in records if record["action"] == "document.delete"]


def test_events_are_delivered_once_after_auth_responds_again(suite, bob, search_audit):
    documents = [add_document(bob, "outage", f"Document {number}.") for number in range(3)]
    auth = suite.get_pid("auth-service")
    os.kill(auth, signal.SIGSTOP)
    try:
        for document in documents:
            assert bob("DELETE", f"/rag/documents/{document}").status_code == 204
    finally:
        os.kill(auth, signal.SIGCONT)

    wait_until(lambda: len(deletions(search_audit, bob)) >= 3, seconds=_DELIVERY_SECONDS)
    assert deletions(search_audit, bob) == documents


@pytest.mark.slow
def test_event_survives_a_kill_right_after_the_response(suite, ada, search_audit):
    documents = [add_document(ada, "killed", f"Killed document {number}.") for number in range(3)]
    for document in documents:
        assert ada("DELETE", f"/rag/documents/{document}").status_code == 204
    os.kill(suite.get_pid("rag-service"), signal.SIGKILL)

    wait_until(lambda: suite.health().get("status") == "healthy", seconds=90)
    wait_until(lambda: len(deletions(search_audit, ada)) >= 3, seconds=_DELIVERY_SECONDS)
    assert deletions(search_audit, ada) == documents


def test_delivery_route_is_not_reachable_through_the_gateway(suite, ada):
    for prefix in ("/auth", "/api/v1/auth"):
        response = ada("POST", f"{prefix}/internal/audit-events", json={"events": []})
        assert response.status_code == 404
