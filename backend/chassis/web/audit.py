"""Audit of requests: denials and uses of API keys, in every service."""

import logging
from collections import OrderedDict
from threading import Lock
from time import time

from flask import Flask, Response, g, request

from backend.chassis.background import PeriodicTask
from backend.chassis.messaging.audit_events import AuditEvent, AuditRecorder, RequestOrigin
from backend.chassis.messaging.repeated_events import WINDOW_SECONDS, RepeatedEvents
from backend.chassis.web.app_factory import provide
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


def audit_requests(
    app: Flask,
    recorder: AuditRecorder,
    storage_errors: tuple[type[Exception], ...] = (),
    repeated_denials: RepeatedEvents | None = None,
) -> None:
    """Record denied requests of *app* and the first use of an API key per address and hour.

    A denial is recorded at once. Its repetitions within a minute are recorded together afterwards,
    with their number and the times of the first and last one. Those of the current minute are
    lost when the process ends.

    Args:
        storage_errors: exceptions with which *recorder* reports that it could not store an event.
        repeated_denials: tests pass one with another clock.
    """
    audit = RequestAudit(recorder, storage_errors, repeated_denials or RepeatedEvents())
    provide(app, audit)
    app.after_request(audit.record_request)


class RequestAudit:
    """Records the outcomes of requests that `audit_requests` describes."""

    def __init__(
        self,
        recorder: AuditRecorder,
        storage_errors: tuple[type[Exception], ...],
        repeated_denials: RepeatedEvents,
    ) -> None:
        self._recorder = recorder
        self._storage_errors = storage_errors
        self._key_uses = _RecentKeyUses()
        self._denials = repeated_denials
        self._repetition_task = PeriodicTask(
            "recording of repeated denials",
            WINDOW_SECONDS / 4,
            self._record_repetitions,
            runs_at_start=False,
        )

    def record_request(self, response: Response) -> Response:
        code = "forbidden"
        if response.status_code == 403:
            # A response that the gateway's development server forwards. The service recorded it.
            if response.direct_passthrough:
                return response
            code = str((response.get_json(silent=True) or {}).get("code", code))
        self.record_outcome(response.status_code, code)
        return response

    def record_outcome(self, status: int, code: str) -> None:
        """Record the current request if it was denied, or if its API key is used the first time.

        Args:
            status: HTTP status of the outcome.
            code: code of the problem if the request was denied.
        """
        principal: Principal | None = g.get("principal")
        if status == 403:
            self._record_denial(principal, code)
        elif principal is not None and principal.api_key_id is not None:
            self._record_key_use(principal, principal.api_key_id)

    def _record_denial(self, principal: Principal | None, code: str) -> None:
        user_id = principal.user_id if principal is not None else g.get("denied_user_id")
        if user_id is None:
            return
        event = self._denials.add_event(
            AuditEvent(
                "access.denied",
                user_id,
                None if principal is None else principal.tenant_id,
                get_request_origin(),
                outcome=code,
                target=f"{request.method} {request.url_rule or ''}",
            )
        )
        if event is None:
            # Started here, because threads do not survive the fork of the worker process.
            self._repetition_task.start()
        else:
            self._record(event)

    def _record_repetitions(self) -> None:
        for event in self._denials.take_repetitions():
            self._record(event)

    def _record_key_use(self, principal: Principal, key_id: str) -> None:
        origin = get_request_origin()
        if not self._key_uses.add_use(key_id, origin.address):
            return
        event = AuditEvent(
            "api_key.use", principal.user_id, principal.tenant_id, origin, target=key_id
        )
        if not self._record(event):
            self._key_uses.remove_use(key_id, origin.address)

    def _record(self, event: AuditEvent) -> bool:
        """Record *event*. The response is complete, so an error of the storage is only logged."""
        try:
            self._recorder.record_event(event)
        except self._storage_errors as error:
            fields = {
                "action": event.action,
                "actor_id": event.actor_id,
                "target": event.target,
                "error": type(error).__name__,
            }
            _log.error("an audit event could not be stored", extra={"fields": fields})
            return False
        return True


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
