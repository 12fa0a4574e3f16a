"""Idempotency keys: a repeated request with the same key gets the first response again.

For a streamed response only a reference is stored, with which the service resumes the stream.
Responses are stored for a day in the service's own tables, encrypted with a key derived from
SECRET_KEY. A response belongs to one credential with its permissions: another session or key of the
same user does not get it. Responses with secrets that are shown only once are not stored.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, wraps
from typing import Any

import sqlalchemy as sa
from flask import Response, g, make_response, request
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError

from backend.chassis.database.sessions import Database
from backend.chassis.database.types import UtcDateTime
from backend.chassis.encryption import Encryptor
from backend.chassis.web.app_factory import use
from backend.chassis.web.problems import ServiceError
from backend.security import Principal
from backend.security.http_errors import HttpError
from backend.security.key_derivation import derive_key

View = Callable[..., Any]
ReplayStream = Callable[[str], Response]
"""Takes the reference of a stream and returns its past events, then those that follow."""

REPLAYED_HEADER = "Idempotency-Replayed"
_STREAM_REFERENCE = "stream_reference"
_RETENTION = timedelta(hours=24)
_MAX_REQUEST_DURATION = timedelta(seconds=60)
_KEY_HEADER = "Idempotency-Key"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_PURPOSE = "idempotency"


class IdempotencyConflict(ServiceError):
    """The key was used for another request."""

    status = 409
    code = "idempotency_conflict"
    title = "Idempotency key already used"


class ResponseNotRepeatable(ServiceError):
    """The first request succeeded, and its response contained a secret."""

    status = 409
    code = "response_not_repeatable"
    title = "Response with a secret"


class IdempotencyInProgress(ServiceError):
    """The first request with the key has not finished."""

    status = 409
    code = "idempotency_in_progress"
    title = "First request in progress"

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


@cache
def idempotency_table(service: str, metadata: sa.MetaData | None = None) -> sa.Table:
    """Return the table of *service*'s stored responses. The service's migrations create it.

    Equal arguments return the same object, so that its statements are compiled once.
    """
    return sa.Table(
        f"{service}_idempotency_keys",
        metadata if metadata is not None else sa.MetaData(),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False, index=True),
        sa.Column("status", sa.Integer),
        sa.Column("content_type", sa.String(100)),
        sa.Column("sealed_body", sa.LargeBinary),
    )


class IdempotencyStore:
    """The stored responses of one service, by idempotency key.

    Args:
        service: name of the service, which is in the name of the table.
        database: database of the service.
        secret: SECRET_KEY, from which the encryption key is derived.
        max_request_duration: a first request that has not finished after this time is considered
            lost with its process, and its key can be used again.
    """

    def __init__(
        self,
        service: str,
        database: Database,
        secret: str,
        max_request_duration: timedelta = _MAX_REQUEST_DURATION,
    ) -> None:
        self._table = idempotency_table(service)
        self._database = database
        self._max_request_duration = max_request_duration
        self._encryptor = Encryptor(secret, _PURPOSE)
        self._fingerprint_key = derive_key(secret, _PURPOSE)

    def run_once(
        self,
        digest: str,
        fingerprint: str,
        handle_request: Callable[[], Response],
        *,
        replay_stream: ReplayStream | None = None,
        has_secret: bool = False,
    ) -> Response:
        """Return the stored response of *digest*, or the response of *handle_request*.

        A successful response is stored; of a stream, only the reference. After an error, or a
        stream without a reference, the key can be used again.

        Args:
            digest: digest of the caller, the route and the idempotency key.
            fingerprint: digest of the request. It must be the same for each use of the key.
            handle_request: handles the request.
            replay_stream: continues the stream of a stored reference.
            has_secret: the body of the response contains a secret and is not stored.

        Raises:
            IdempotencyConflict: the key was used for another request.
            IdempotencyInProgress: the first request has not finished.
            ResponseNotRepeatable: the first response contained a secret.
        """
        # Keyed: the request may contain a password, which a plain hash would expose to guessing.
        fingerprint = hmac.digest(self._fingerprint_key, fingerprint.encode(), "sha256").hex()
        stored_response = self._reserve_key(digest, fingerprint, replay_stream)
        if stored_response is not None:
            return stored_response
        try:
            response = handle_request()
        except BaseException:
            self._release_key(digest)
            raise
        # The body of a stream does not exist yet, so it cannot be stored.
        reference: str | None = getattr(response, _STREAM_REFERENCE, None)
        if reference is not None:
            self._store_response(digest, response, reference.encode())
        elif response.status_code < 300 and not response.is_streamed:
            self._store_response(digest, response, None if has_secret else response.get_data())
        else:
            self._release_key(digest)
        return response

    def _reserve_key(
        self, digest: str, fingerprint: str, replay_stream: ReplayStream | None
    ) -> Response | None:
        """Insert a row for *digest* and return None, or return the response stored under it."""
        now = datetime.now(UTC)
        table = self._table
        with self._database.write() as session:
            session.execute(sa.delete(table).where(table.c.created_at < now - _RETENTION))
            session.execute(
                sa.delete(table).where(
                    table.c.digest == digest,
                    table.c.status.is_(None),
                    table.c.created_at < now - self._max_request_duration,
                )
            )
            values = {"digest": digest, "fingerprint": fingerprint, "created_at": now}
            try:
                with session.begin_nested():
                    session.execute(sa.insert(table).values(values))
            except IntegrityError:
                row = session.execute(sa.select(table).where(table.c.digest == digest)).one()
            else:
                return None
        if row.fingerprint != fingerprint:
            raise IdempotencyConflict(
                "This Idempotency-Key was used for a different request. Use a new key."
            )
        if row.status is None:
            raise IdempotencyInProgress(
                "The first request with this Idempotency-Key has not finished. Retry later."
            )
        if row.sealed_body is None:
            raise ResponseNotRepeatable(
                "The first request with this Idempotency-Key succeeded. Its response contains a "
                "secret that is returned only once. If you did not receive it, delete what the "
                "request created and send the request again with a new key."
            )
        body = self._encryptor.decrypt_bytes(row.sealed_body)
        if replay_stream is not None and row.content_type.startswith("text/event-stream"):
            response = replay_stream(body.decode())
        else:
            response = Response(body, row.status, content_type=row.content_type)
        response.headers[REPLAYED_HEADER] = "true"
        return response

    def _store_response(self, digest: str, response: Response, content: bytes | None) -> None:
        table = self._table
        values = {
            "status": response.status_code,
            "content_type": response.content_type,
            "sealed_body": None if content is None else self._encryptor.encrypt_bytes(content),
        }
        with self._database.write() as session:
            session.execute(sa.update(table).where(table.c.digest == digest).values(values))

    def _release_key(self, digest: str) -> None:
        with self._database.write() as session:
            session.execute(sa.delete(self._table).where(self._table.c.digest == digest))


def idempotent(view: View) -> View:
    """Replay the first response of *view* for a repeated `Idempotency-Key`.

    Place it below `@validate_input` and above `@responds_with`: the parsed body is part of the
    request's fingerprint.
    """
    return _make_idempotent(view)


def idempotent_stream(replay_stream: ReplayStream) -> Callable[[View], View]:
    """Like `@idempotent`, for a view that may also return a stream with a reference.

    The view sets the reference with `set_stream_reference`.
    """
    return lambda view: _make_idempotent(view, replay_stream=replay_stream)


def idempotent_with_secret(view: View) -> View:
    """Handle a request once per `Idempotency-Key`; its response contains a secret.

    A repeated request gets 409 instead of the response. Place it like `idempotent`.
    """
    return _make_idempotent(view, has_secret=True)


def set_stream_reference(response: Response, reference: str) -> Response:
    """Set the *reference* with which a repeated request resumes this stream; return *response*."""
    setattr(response, _STREAM_REFERENCE, reference)
    return response


def _make_idempotent(
    view: View, *, replay_stream: ReplayStream | None = None, has_secret: bool = False
) -> View:
    @wraps(view)
    def idempotent_view(*args: Any, **path: Any) -> Response:
        if _KEY_HEADER not in request.headers:
            # Most requests have no key: do not serialise their bodies for a fingerprint.
            return make_response(view(*args, **path))
        bodies = [arg.model_dump_json() for arg in args if isinstance(arg, BaseModel)]
        return run_idempotently(
            "\n".join(bodies),
            lambda: make_response(view(*args, **path)),
            replay_stream=replay_stream,
            has_secret=has_secret,
        )

    idempotent_view.is_idempotent = True  # type: ignore[attr-defined]
    idempotent_view.has_secret = has_secret  # type: ignore[attr-defined]
    return idempotent_view


def run_idempotently(
    content: str,
    handle_request: Callable[[], Response],
    *,
    replay_stream: ReplayStream | None = None,
    has_secret: bool = False,
) -> Response:
    """Handle the current request, or return the stored response of its `Idempotency-Key`.

    Args:
        content: body of the request, part of its fingerprint.
        handle_request: handles the request.
        replay_stream: continues the stream of a stored reference.
        has_secret: the body of the response contains a secret and is not stored.

    Raises:
        HttpError: 400 for an invalid key.
        IdempotencyConflict: the key was used for another request.
        IdempotencyInProgress: the first request has not finished.
        ResponseNotRepeatable: the first response contained a secret.
    """
    key = request.headers.get(_KEY_HEADER)
    if key is None:
        return handle_request()
    if not _KEY.fullmatch(key):
        raise HttpError(
            400,
            "invalid_idempotency_key",
            "Invalid idempotency key",
            "An Idempotency-Key consists of 1 to 255 visible ASCII characters.",
        )
    endpoint = f"{request.method} {request.path}"
    query = request.query_string.decode("latin-1")
    return use(IdempotencyStore).run_once(
        _hash_parts(*_identify_credential(), endpoint, key),
        _hash_parts(endpoint, query, content),
        handle_request,
        replay_stream=replay_stream,
        has_secret=has_secret,
    )


def _identify_credential() -> tuple[str, ...]:
    """Return the parts that identify the credential of the request and its permissions.

    A response is repeated only to the credential that was allowed to get it: with other
    permissions the view handles the request again.
    """
    principal: Principal | None = g.get("principal")
    if principal is None:
        return ("anonymous",)
    permissions = " ".join(sorted(principal.permissions))
    return (principal.tenant_id, principal.user_id, principal.session_id, permissions)


def _hash_parts(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
