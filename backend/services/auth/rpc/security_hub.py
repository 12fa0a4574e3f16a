"""gRPC methods for checks of credentials and permissions, audit events and revocations."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

from flask import current_app, request
from pydantic import Field
from redis.exceptions import RedisError

from backend.chassis.rpc.calls import Call
from backend.chassis.rpc.messages import parse_message
from backend.rpc_schema.suite.security.v1 import security_pb2 as pb
from backend.security import (
    HttpError,
    Input,
    Permission,
    Principal,
    authenticated,
    ensure_session_valid,
    internal_only,
    require_permission,
)
from backend.security.authentication import (
    Credentials,
    get_security_context,
    identify_principal,
)
from backend.security.http_errors import unavailable
from backend.security.revocation import RevocationNotice, SharedRevocations
from backend.services.auth.routes.audit import AuditEventBatch, store_audit_events

_MAX_TOKEN_CHARACTERS = 16_384


class CredentialsInput(Input):
    """Credentials to check."""

    access_token: Annotated[str, Field(max_length=_MAX_TOKEN_CHARACTERS)] = ""
    api_key: Annotated[str, Field(max_length=128)] = ""
    tenant_id: Annotated[str, Field(max_length=128)] = ""


class TokenCheck(Input):
    credentials: CredentialsInput = CredentialsInput()


class PermissionCheck(TokenCheck):
    permission: Permission


class SecurityHub:
    """Handlers of suite.security.v1.SecurityHub."""

    @authenticated
    def validate_token(self, message: pb.ValidateTokenRequest, _call: Call) -> pb.TokenStatus:
        check = parse_message(TokenCheck, message)
        try:
            principal = _identify(check.credentials)
        except HttpError as error:
            return pb.TokenStatus(reason=_get_reason(error))
        status = pb.TokenStatus(
            active=True,
            user_id=principal.user_id,
            tenant_id=principal.tenant_id,
            session_id=principal.session_id,
            permissions=sorted(principal.permissions),
        )
        status.expires_at.FromDatetime(datetime.fromtimestamp(principal.expires_at, UTC))
        return status

    @authenticated
    def check_permission(
        self, message: pb.CheckPermissionRequest, _call: Call
    ) -> pb.PermissionStatus:
        check = parse_message(PermissionCheck, message)
        try:
            principal = _identify(check.credentials)
        except HttpError as error:
            return pb.PermissionStatus(reason=_get_reason(error))
        is_allowed = check.permission in principal.permissions
        return pb.PermissionStatus(
            allowed=is_allowed,
            user_id=principal.user_id,
            tenant_id=principal.tenant_id,
            reason="" if is_allowed else "permission_denied",
        )

    @internal_only
    def audit(self, message: pb.AuditRequest, _call: Call) -> pb.AuditResult:
        store_audit_events(parse_message(AuditEventBatch, message))
        return pb.AuditResult()

    @require_permission(Permission.SYSTEM_READ)
    def watch_revocations(
        self, _message: pb.WatchRevocationsRequest, call: Call
    ) -> Iterator[pb.Revocation | None]:
        revocations = get_security_context(current_app).revocations
        if not isinstance(revocations, SharedRevocations):
            raise unavailable(
                "revocations_unavailable",
                "Revocations are announced by Redis only. Set REDIS_URL.",
                retry_after=60,
            )
        return _watch(revocations, call)


def _watch(revocations: SharedRevocations, call: Call) -> Iterator[pb.Revocation | None]:
    is_subscribed = False
    try:
        with closing(revocations.watch_notices()) as notices:
            for notice in notices:
                call.check_drain()
                if notice is not None:
                    yield _to_message(notice)
                elif is_subscribed:
                    yield None
                else:
                    is_subscribed = True
                    yield pb.Revocation(watching=pb.Watching())
    except RedisError as error:
        raise unavailable(
            "revocations_unavailable", "Redis does not respond. Watch again later."
        ) from error


def _to_message(notice: RevocationNotice) -> pb.Revocation:
    generation = pb.Generation(id=notice.subject_id, generation=notice.number)
    match notice.kind:
        case "session":
            return pb.Revocation(session_id=notice.subject_id)
        case "user":
            return pb.Revocation(user=generation)
        case "tenant":
            return pb.Revocation(tenant=generation)
        case "all":
            return pb.Revocation(everything=pb.Everything())


def _identify(credentials: CredentialsInput) -> Principal:
    """Return the principal of *credentials*, or of the call's own if they are empty."""
    tenant = credentials.tenant_id or None
    if credentials.access_token or credentials.api_key:
        authorization = f"Bearer {credentials.access_token}" if credentials.access_token else ""
        given = Credentials(authorization, credentials.api_key, tenant)
    else:
        headers = request.headers
        given = Credentials(
            headers.get("Authorization", ""),
            headers.get("X-API-Key", ""),
            tenant or headers.get("X-Tenant-ID"),
        )
    principal = identify_principal(get_security_context(current_app), given)
    ensure_session_valid(principal)
    return principal


def _get_reason(error: HttpError) -> str:
    """Return the code of *error* if the credentials are invalid; else raise it."""
    if (error.code or 500) >= 500:
        raise error
    return error.problem_code
