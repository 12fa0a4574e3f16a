"""A POST that is sent again with its `Idempotency-Key` gets its first answer again.

The answer is kept for a day in the service's own tables, sealed with a key
derived from SECRET_KEY, because some answers hold what is shown only once.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

import sqlalchemy as sa
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import Response, g, make_response, request
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError

from backend.chassis.database.sessions import Database, UtcDateTime
from backend.chassis.web.app_factory import use
from backend.chassis.web.problems import ServiceError
from backend.security.http_errors import Refusal

View = Callable[..., Any]
_KEPT = timedelta(hours=24)
_ABANDONED = timedelta(seconds=60)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class IdempotencyConflict(ServiceError):
    status = 409
    code = "idempotency_conflict"
    title = "Idempotency key used before"


class StillAtIt(ServiceError):
    status = 409
    code = "idempotency_in_progress"
    title = "First request still running"

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


def idempotency_table(service: str, metadata: sa.MetaData | None = None) -> sa.Table:
    """The table of *service* that remembers answers; its migrations create it."""
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


class Idempotency:
    """What was answered to which key, within one service.

    A first request that has not answered after *abandoned* died with its process.
    """

    def __init__(
        self, service: str, database: Database, secret: str, abandoned: timedelta = _ABANDONED
    ) -> None:
        self._table = idempotency_table(service)
        self._database = database
        self._abandoned = abandoned
        seed = HKDF(hashes.SHA256(), 32, None, b"ai-agent-system/idempotency").derive(
            secret.encode()
        )
        self._box = Fernet(base64.urlsafe_b64encode(seed))
        self._seed = seed

    def once(self, digest: str, fingerprint: str, act: Callable[[], Response]) -> Response:
        """The answer that was given under *digest* before, or the one that *act* gives now."""
        # Keyed: a request may hold a password, which a plain hash would give away.
        fingerprint = hmac.digest(self._seed, fingerprint.encode(), "sha256").hex()
        known = self._begin(digest, fingerprint)
        if known is not None:
            return known
        try:
            response = act()
        except BaseException:
            self._forget(digest)
            raise
        # A stream has not been written yet; it can't be kept for another time.
        if response.status_code < 300 and not response.is_streamed:
            self._keep(digest, response)
        else:
            self._forget(digest)
        return response

    def _begin(self, digest: str, fingerprint: str) -> Response | None:
        now = datetime.now(UTC)
        table = self._table
        with self._database.write() as session:
            session.execute(sa.delete(table).where(table.c.created_at < now - _KEPT))
            session.execute(
                sa.delete(table).where(
                    table.c.digest == digest,
                    table.c.status.is_(None),
                    table.c.created_at < now - self._abandoned,
                )
            )
            row = {"digest": digest, "fingerprint": fingerprint, "created_at": now}
            try:
                with session.begin_nested():
                    session.execute(sa.insert(table).values(row))
            except IntegrityError:
                found = session.execute(sa.select(table).where(table.c.digest == digest)).one()
            else:
                return None
        if found.fingerprint != fingerprint:
            raise IdempotencyConflict(
                "This Idempotency-Key came with another request before; make a new key."
            )
        if found.status is None:
            raise StillAtIt("The first request with this Idempotency-Key has not answered yet.")
        body = self._box.decrypt(found.sealed_body)
        response = Response(body, found.status, content_type=found.content_type)
        response.headers["Idempotency-Replayed"] = "true"
        return response

    def _keep(self, digest: str, response: Response) -> None:
        table = self._table
        answer = {
            "status": response.status_code,
            "content_type": response.content_type,
            "sealed_body": self._box.encrypt(response.get_data()),
        }
        with self._database.write() as session:
            session.execute(sa.update(table).where(table.c.digest == digest).values(answer))

    def _forget(self, digest: str) -> None:
        with self._database.write() as session:
            session.execute(sa.delete(self._table).where(self._table.c.digest == digest))


def idempotent(view: View) -> View:
    """Let *view* answer a repeated `Idempotency-Key` with its first answer.

    Stands under `@validate_input` and above `@answers`: what was parsed is what
    has to be the same.
    """

    @wraps(view)
    def repeatable(*args: Any, **path: Any) -> Response:
        bodies = [each.model_dump_json() for each in args if isinstance(each, BaseModel)]
        return once_per_key("\n".join(bodies), lambda: make_response(view(*args, **path)))

    repeatable.is_idempotent = True  # type: ignore[attr-defined]
    return repeatable


def once_per_key(content: str, act: Callable[[], Response]) -> Response:
    """*act*, unless the request's `Idempotency-Key` was answered before; *content* is its body."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return act()
    if not _KEY.fullmatch(key):
        raise Refusal(
            400,
            "invalid_idempotency_key",
            "Bad idempotency key",
            "An Idempotency-Key is 1 to 255 visible ASCII characters.",
        )
    principal = g.get("principal")
    whose = f"{principal.tenant_id}/{principal.user_id}" if principal else "anybody"
    place = f"{request.method} {request.path}"
    query = request.query_string.decode("latin-1")
    return use(Idempotency).once(_digest(whose, place, key), _digest(place, query, content), act)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
