"""Audit log: own activity, denied requests, filters and tenant isolation."""

from uuid import uuid4

import pytest

from backend.chassis.messaging.audit_events import AuditEvent, RequestOrigin
from backend.chassis.web.app_factory import get_component
from backend.security.authentication import get_security_context
from backend.security.service_tokens import ServiceTokens
from backend.services.auth.app import create_app
from backend.services.auth.domain.audit import AuditLog
from tests.services.auth.api_user import ApiUser, get_problem
from tests.services.auth.conftest import ADMIN_PASSWORD


def test_own_activity_lists_only_own_records_newest_first(client, ada):
    ApiUser.register(client, "bob")
    client.post("/login", json={"username": "ada", "password": "not the password"})
    ApiUser.sign_in(client, "ada")

    first = ada.get("/me/activity?limit=2").json
    rest = ada.get(f"/me/activity?cursor={first['next_cursor']}").json

    records = first["items"] + rest["items"]
    assert [(record["action"], record["outcome"]) for record in records] == [
        ("session.login", "success"),
        ("session.login", "invalid_credentials"),
        ("session.login", "success"),
        ("account.register", "success"),
    ]
    assert {record["address"] for record in first["items"]} == {"127.0.0.1"}
    for cursor in ("nonsense", "WyJ4Il0", "WyI5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OSJd", "0" * 900):
        assert ada.get(f"/me/activity?cursor={cursor}").status_code == 422


def test_denied_request_is_recorded(client, ada):
    assert get_problem(ada.get("/health/detailed")) == (403, "permission_denied")

    newest = ada.get("/me/activity").json["items"][0]
    assert (newest["action"], newest["outcome"]) == ("access.denied", "permission_denied")
    assert newest["target"] == "GET /health/detailed"


def test_admin_filters_the_audit_log_of_all_tenants(client, ada, clock):
    admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)
    clock.advance(minutes=5)
    ApiUser.register(client, "bob")

    def search(**filters: str) -> list[tuple[str, str]]:
        response = client.get("/audit", query_string=filters, headers=admin.auth_headers)
        return [(record["actor"], record["action"]) for record in response.json["items"]]

    assert search(actor="ADA") == search(actor=ada.user["id"])
    assert search(actor="ada") == [("ada", "session.login"), ("ada", "account.register")]
    assert search(action="account.register") == [
        ("bob", "account.register"),
        ("ada", "account.register"),
    ]
    assert search(since="2026-01-01T12:05:00Z", limit="1") == [("bob", "session.login")]
    assert len(search(since="2026-01-01T12:05:00Z")) == 2
    assert ("bob", "session.login") not in search(until="2026-01-01T12:05:00Z")
    assert search(actor="nobody") == []


@pytest.mark.parametrize(
    "query", ["since=yesterday", "until=2026-01-01T00:00:00", "actor=", "outcome=x", "limit=0"]
)
def test_audit_rejects_invalid_filter(client, query):
    admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)

    assert get_problem(admin.get(f"/audit?{query}")) == (422, "validation_failed")


def test_tenant_admin_reads_only_records_of_the_tenant(client, ada):
    admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)
    team = client.post("/tenants", json={"name": "Team"}, headers=admin.auth_headers).json["id"]
    member_path = f"/tenants/{team}/members/{ada.user['id']}"
    client.put(member_path, json={"roles": ["tenant_admin"]}, headers=admin.auth_headers)
    headers = ApiUser.sign_in(client, "ada").auth_headers | {"X-Tenant-ID": team}

    records = client.get("/audit", headers=headers).json["items"]

    assert [record["action"] for record in records] == ["member.put", "tenant.create"]
    assert {record["tenant_id"] for record in records} == {team}


class RagService:
    """Delivers audit events to auth as the rag service."""

    def __init__(self, app):
        self._client = app.test_client()
        secret = get_security_context(app).service_tokens._secret
        self._headers = {
            "X-Service-Token": ServiceTokens(secret, "rag-service").get_token(app.name)
        }

    def deliver(self, *events, headers=None):
        return self._client.post(
            "/internal/audit-events",
            json={"events": list(events)},
            headers=self._headers if headers is None else headers,
        )


def audit_event(actor_id, action="document.delete", **changes):
    return {
        "id": str(uuid4()),
        "time": "2026-01-01T12:00:00Z",
        "action": action,
        "outcome": "success",
        "actor_id": actor_id,
        "tenant_id": "tenant-a",
        "target": "doc_1",
        "address": "192.0.2.1",
        "request_id": "req-1",
        "details": {"filename": "a.txt"},
    } | changes


@pytest.fixture
def rag_service(app, client):
    return RagService(app)


@pytest.fixture
def search_audit(client):
    def search(action):
        admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)
        return admin.get(f"/audit?action={action}").json["items"]

    return search


def test_delivered_event_is_recorded_once_for_repeated_deliveries(rag_service, ada, search_audit):
    event = audit_event(ada.user["id"])

    assert rag_service.deliver(event).status_code == 204
    assert (
        rag_service.deliver(event, audit_event(ada.user["id"], target="doc_2")).status_code == 204
    )

    records = search_audit("document.delete")
    assert [record["target"] for record in records] == ["doc_2", "doc_1"]
    record = records[1]
    assert record["details"] == {"filename": "a.txt", "service": "rag-service"}
    assert (record["actor"], record["address"], record["request_id"], record["count"]) == (
        "ada",
        "192.0.2.1",
        "req-1",
        1,
    )


@pytest.mark.parametrize("action", ["chat.history-export", "chat.person-erase", "api_key.use"])
def test_actions_of_all_services_are_accepted(rag_service, ada, search_audit, action):
    assert rag_service.deliver(audit_event(ada.user["id"], action)).status_code == 204
    assert [record["action"] for record in search_audit(action)] == [action]


@pytest.mark.parametrize("action", ["", "export", "Chat.export", "a.b.c", "a.b\n", "a.b c"])
def test_action_that_auth_rejects_cannot_be_recorded(rag_service, ada, action):
    assert rag_service.deliver(audit_event(ada.user["id"], action)).status_code == 422
    with pytest.raises(ValueError, match="is not a valid name of an audited action"):
        AuditEvent(action, "user-1", None, RequestOrigin())


def test_equal_denials_within_ten_minutes_share_a_record(rag_service, ada, search_audit):
    def denial(minute, **changes):
        time = f"2026-01-01T12:{minute:02}:00Z"
        return audit_event(ada.user["id"], "access.denied", time=time, **changes)

    rag_service.deliver(denial(1), denial(2), denial(3, address="192.0.2.9"))
    rag_service.deliver(denial(9), denial(11))

    assert [
        (r["address"], r["at"], r["last_at"], r["count"]) for r in search_audit("access.denied")
    ] == [
        ("192.0.2.1", "2026-01-01T12:11:00Z", None, 1),
        ("192.0.2.9", "2026-01-01T12:03:00Z", None, 1),
        ("192.0.2.1", "2026-01-01T12:01:00Z", "2026-01-01T12:09:00Z", 3),
    ]


def test_merged_event_counts_as_many_events(rag_service, ada, search_audit):
    user_id = ada.user["id"]
    first = audit_event(user_id, "access.denied", time="2026-01-01T12:01:00Z")
    merged = audit_event(user_id, "access.denied", time="2026-01-01T12:02:00Z")
    rag_service.deliver(first, merged | {"count": 7, "last_at": "2026-01-01T12:03:00Z"})
    rag_service.deliver(
        audit_event(user_id, "access.denied", time="2026-01-01T12:14:00Z")
        | {"count": 3, "last_at": "2026-01-01T12:15:00Z"}
    )

    assert [(r["at"], r["last_at"], r["count"]) for r in search_audit("access.denied")] == [
        ("2026-01-01T12:14:00Z", "2026-01-01T12:15:00Z", 3),
        ("2026-01-01T12:01:00Z", "2026-01-01T12:03:00Z", 8),
    ]


@pytest.mark.parametrize(
    "changes", [{"actor_id": ""}, {"action": "x"}, {"id": "1"}, {"extra": 1}, {"target": "x" * 129}]
)
def test_invalid_event_is_rejected(rag_service, ada, changes):
    response = rag_service.deliver(audit_event(ada.user["id"]) | changes)

    assert get_problem(response) == (422, "validation_failed")


def test_only_services_deliver_events(rag_service, ada):
    event = audit_event(ada.user["id"])

    assert get_problem(rag_service.deliver(event, headers=ada.auth_headers)) == (
        403,
        "internal_only",
    )
    assert get_problem(rag_service.deliver(event, headers={})) == (403, "internal_only")


def test_records_are_deleted_after_the_retention_time(
    make_settings, clock, rag_service, ada, search_audit
):
    rag_service.deliver(audit_event(ada.user["id"]))
    settings = make_settings(AUDIT_RETENTION_DAYS="10")
    clock.advance(days=9)
    later = create_app(settings, clock.now)
    get_component(later, AuditLog).delete_expired_records(settings.audit_retention)
    assert len(search_audit("document.delete")) == 1

    clock.advance(days=2)
    get_component(later, AuditLog).delete_expired_records(settings.audit_retention)

    assert search_audit("document.delete") == []
