"""Audit of requests: denials and uses of API keys, in every service with tables."""

import logging
from collections import OrderedDict
from functools import partial
from threading import Lock
from time import time

from flask import Flask, Response, g, request
from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.messaging.audit_events import (
    AuditEvent,
    AuditRecorder,
    RequestOrigin,
)
from backend.security.authentication import Principal, get_client_address
from backend.security.request_ids import request_id

_log = logging.getLogger(__name__)
_KEY_USE_PERIOD_SECONDS = 3600
_MAX_REMEMBERED_KEY_USES = 4096


def get_request_origin() -> RequestOrigin:
    """Return the client address and the id of the current request."""
    return RequestOrigin(
        address=get_client_address(),
        request_id=request_id(),
    )


def audit_requests(app: Flask, recorder: AuditRecorder) -> None:
    """Record denied requests of *app* and the first use of an API key per address and hour."""
    app.after_request(partial(_record_request, recorder, _RecentKeyUses()))


class _RecentKeyUses:
    """Pairs of API key and address whose use this process has recorded in the current hour.

    Auth merges the records of several processes. This avoids a write for every request.
    """

    def __init__(self) -> None:
        self._periods: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._lock = Lock()

    def add_use(self, key_id: str, address: str) -> bool:
        """Return True for the first use of the key from *address* in the current hour."""
        period = int(time()) // _KEY_USE_PERIOD_SECONDS
        with self._lock:
            if self._periods.get((key_id, address)) == period:
                return False
            self._periods[key_id, address] = period
            self._periods.move_to_end((key_id, address))
            if len(self._periods) > _MAX_REMEMBERED_KEY_USES:
                self._periods.popitem(last=False)
            return True

    def remove_use(self, key_id: str, address: str) -> None:
        with self._lock:
            self._periods.pop((key_id, address), None)


def _record_request(
    recorder: AuditRecorder, key_uses: _RecentKeyUses, response: Response
) -> Response:
    principal: Principal | None = g.get("principal")
    if response.status_code == 403:
        _record_denial(recorder, principal, response)
    elif principal is not None and principal.uses_api_key:
        _record_key_use(recorder, key_uses, principal)
    return response


def _record_denial(
    recorder: AuditRecorder, principal: Principal | None, response: Response
) -> None:
    user_id = principal.user_id if principal is not None else g.get("denied_user_id")
    if user_id is None:
        return
    reason = (response.get_json(silent=True) or {}).get("code", "forbidden")
    _record(
        recorder,
        AuditEvent(
            "access.denied",
            user_id,
            None if principal is None else principal.tenant_id,
            get_request_origin(),
            outcome=str(reason),
            target=f"{request.method} {request.url_rule or ''}",
        ),
    )


def _record_key_use(
    recorder: AuditRecorder, key_uses: _RecentKeyUses, principal: Principal
) -> None:
    origin = get_request_origin()
    key_id = principal.session_id.partition(":")[2]
    if not key_uses.add_use(key_id, origin.address):
        return
    event = AuditEvent("api_key.use", principal.user_id, principal.tenant_id, origin, target=key_id)
    if not _record(recorder, event):
        key_uses.remove_use(key_id, origin.address)


def _record(recorder: AuditRecorder, event: AuditEvent) -> bool:
    """Record *event*. The response is complete, so an error of the database is only logged."""
    try:
        recorder.record_event(event)
    except SQLAlchemyError as error:
        fields = {
            "action": event.action,
            "actor_id": event.actor_id,
            "target": event.target,
            "error": type(error).__name__,
        }
        _log.error("an audit event could not be stored", extra={"fields": fields})
        return False
    return True
