"""Outbox of a service's audit events."""

from collections.abc import Callable
from datetime import UTC, datetime

from backend.chassis.database.sessions import Database, Session
from backend.chassis.messaging.audit_events import AuditEvent, to_outbox_event
from backend.chassis.messaging.outbox import EventRecorder


class AuditOutbox:
    """Records the audit events of a service in its outbox.

    Args:
        service: name of the service.
        database: database of the service.
    """

    def __init__(
        self,
        service: str,
        database: Database,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._service = service
        self._database = database.across_tenants()
        self._now = now
        self._recorder = EventRecorder(service)

    def add_event(self, session: Session, event: AuditEvent) -> None:
        """Add *event* in the transaction of *session*, which commits the audited change."""
        outbox_event = to_outbox_event(self._service, event, self._now())
        self._recorder.add_event(session, outbox_event, "audit")

    def record_event(self, event: AuditEvent) -> None:
        """Add *event* durably, in a transaction of its own."""
        with self._database.write() as session:
            self.add_event(session, event)
