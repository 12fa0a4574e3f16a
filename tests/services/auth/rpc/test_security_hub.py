"""Checks of credentials and permissions, audit events and revocations over gRPC."""

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from backend.rpc_schema.suite.security.v1 import security_pb2 as pb
from backend.security.service_tokens import ServiceTokens
from backend.services.auth.app import create_app
from backend.services.auth.rpc.services import SERVICES
from tests.rpc import connect, run_rpc_server, to_failure
from tests.services.auth.api_user import ApiUser
from tests.services.auth.conftest import ADMIN_PASSWORD


def test_valid_token_is_described(rpc, ada, admin):
    status = rpc.call(
        "ValidateToken", admin.auth_headers, credentials={"access_token": ada.access_token}
    )

    assert status.active
    assert (status.user_id, status.tenant_id) == (ada.user["id"], ada.user["tenant_id"])
    assert list(status.permissions) == ada.user["permissions"]
    assert status.HasField("expires_at")
    assert status.reason == ""


def test_own_credentials_are_checked_without_others(rpc, ada):
    assert rpc.call("ValidateToken", ada.auth_headers).user_id == ada.user["id"]


def test_api_key_is_described(rpc, client, ada):
    body = {"name": "k", "permissions": ["rag:read"]}
    key = client.post("/api-keys", json=body, headers=ada.auth_headers).json["key"]

    status = rpc.call("ValidateToken", ada.auth_headers, credentials={"api_key": key})

    assert (status.active, list(status.permissions)) == (True, ["rag:read"])
    assert status.session_id.startswith("key:")


def test_invalid_credentials_have_a_reason(rpc, client, ada, admin):
    ended = ApiUser.sign_in(client, "ada")
    client.post("/logout", headers=ended.auth_headers)
    cases = {
        "invalid_token": {"access_token": "abc"},
        "session_ended": {"access_token": ended.access_token},
        "invalid_api_key": {"api_key": "aas_unknown"},
        "not_a_member": {
            "access_token": ada.access_token,
            "tenant_id": admin.user["tenant_id"],
        },
    }
    for reason, credentials in cases.items():
        status = rpc.call("ValidateToken", admin.auth_headers, credentials=credentials)
        allowed = rpc.call(
            "CheckPermission", admin.auth_headers, credentials=credentials, permission="rag:read"
        )

        assert (status.active, status.reason, status.user_id) == (False, reason, "")
        assert (allowed.allowed, allowed.reason) == (False, reason)


def test_strangers_cannot_check_tokens(rpc, ada):
    credentials = {"access_token": ada.access_token}

    failure = rpc.fail("ValidateToken", credentials=credentials)

    assert failure.code is grpc.StatusCode.UNAUTHENTICATED


def test_permission_is_checked_in_the_selected_tenant(rpc, ada):
    def check(permission):
        return rpc.call("CheckPermission", ada.auth_headers, permission=permission)

    assert check("rag:write").allowed
    denied = check("system:read")
    assert (denied.allowed, denied.reason) == (False, "permission_denied")


def test_unknown_permission_is_invalid(rpc, ada):
    failure = rpc.fail("CheckPermission", ada.auth_headers, permission="rag:everything")

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.details["BadRequest"].field_violations[0].field == "permission"


EVENT = {
    "id": "6f1c1f2e-8f0b-4a53-9c39-0d6a3f0f4a11",
    "time": Timestamp(seconds=1_800_000_000),
    "action": "document.delete",
    "outcome": "success",
    "actor_id": "actor",
    "address": "192.0.2.1",
    "request_id": "req-1",
    "details": {"filename": "report.pdf"},
}


@pytest.fixture
def service_headers(app):
    secret = app.config["SECRET_KEY"]
    return {"X-Service-Token": ServiceTokens(secret, "rag-service").get_token("auth-service")}


def test_services_add_audit_events_once(rpc, client, admin, service_headers):
    event = pb.AuditEvent(**EVENT, tenant_id="t", target="d")
    for _ in range(2):
        rpc.call("Audit", service_headers, events=[event])

    records = client.get(
        "/audit", query_string={"action": "document.delete"}, headers=admin.auth_headers
    ).json["items"]
    assert [record["details"] for record in records] == [
        {"filename": "report.pdf", "service": "rag-service"}
    ]


def test_users_cannot_add_audit_events(rpc, admin):
    failure = rpc.fail("Audit", admin.auth_headers, events=[pb.AuditEvent(**EVENT)])

    assert (failure.code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "INTERNAL_ONLY")


def test_invalid_audit_event_names_its_field(rpc, service_headers):
    event = pb.AuditEvent(**EVENT | {"action": "no action"})

    failure = rpc.fail("Audit", service_headers, events=[event])

    fields = {item.field for item in failure.details["BadRequest"].field_violations}
    assert "events[0].action" in fields


def test_revocations_need_a_shared_server(rpc, admin):
    failure = rpc.fail("WatchRevocations", admin.auth_headers)

    assert failure.reason == "REVOCATIONS_UNAVAILABLE"
    assert failure.code is grpc.StatusCode.UNAVAILABLE


def test_revocations_need_a_permission(rpc, ada):
    failure = rpc.fail("WatchRevocations", ada.auth_headers)

    assert failure.code is grpc.StatusCode.PERMISSION_DENIED


def test_revocations_are_sent_at_once_and_their_loss_is_reported(make_settings, clock, valkey):
    app = create_app(make_settings(REDIS_URL=valkey.url), clock.now)
    app.testing = True
    client = app.test_client()
    admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)
    ada = ApiUser.register(client, "ada")
    with run_rpc_server(app, SERVICES) as server, connect(server, SERVICES) as rpc:
        stream = rpc.call("WatchRevocations", admin.auth_headers)
        assert next(stream).WhichOneof("revocation") == "watching"

        client.post("/logout", headers=ada.auth_headers)
        session = rpc.call("ValidateToken", admin.auth_headers).session_id
        revocation = next(stream)
        while revocation.WhichOneof("revocation") == "everything":
            revocation = next(stream)

        assert revocation.session_id not in ("", session)
        valkey.end()
        with pytest.raises(grpc.RpcError) as raised:
            list(stream)
    assert to_failure(raised.value).reason == "REVOCATIONS_UNAVAILABLE"
