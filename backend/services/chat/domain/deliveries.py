"""Deliveries as people see them: list, try again, cancel."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from backend.chassis.database.sessions import Database, Session
from backend.services.chat.domain.delivery_queue import DELIVERY_LIFETIME
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.sending.states import move_delivery
from backend.services.chat.errors import DeliveryNotChangeable, ResourceNotFound
from backend.services.chat.store import deliveries as list_store
from backend.services.chat.store import delivery_claims as store
from backend.services.chat.store.tables import Delivery
from backend.services.chat.store.work import announce_work

_RETRYABLE = frozenset({"failed", "unknown", "cancelled"})
_CANCELLABLE = frozenset({"queued", "unknown"})


class DeliveryService:
    """Lists the deliveries of a tenant, and lets people decide about them.

    Args:
        now: the clock.
    """

    def __init__(self, database: Database, log: MessageLog, now: Callable[[], datetime]) -> None:
        self._database = database
        self._log = log
        self._now = now

    def list_deliveries(
        self, tenant_id: str, conditions: Mapping[str, str], limit: int, before: int | None
    ) -> Sequence[Delivery]:
        """Return the tenant's deliveries, latest first.

        Args:
            conditions: required values of `state`, `hook_id`, `account_id`, `conversation_id`.
            before: position of the last delivery of the previous page, or None.
        """
        with self._database.read(tenant_id) as session:
            rows = list_store.list_deliveries(session, tenant_id, conditions, limit, before)
            session.expunge_all()
            return rows

    def count_waiting(self) -> int:
        """Return the number of deliveries of all tenants that are not settled."""
        with self._database.across_tenants().read() as session:
            return store.count_waiting(session)

    def retry(self, tenant_id: str, delivery_id: str) -> Delivery:
        """Send a failed, cancelled or unknown delivery again, with all its attempts.

        After an unknown outcome, the contact can receive the message twice. The parts that were
        cancelled because this one failed are sent as well.

        Raises:
            ResourceNotFound: the tenant has no such delivery.
            DeliveryNotChangeable: the delivery is sent, or will be.
        """
        now = self._now()
        with self._database.write(tenant_id) as session:
            delivery = store.find_delivery(session, tenant_id, delivery_id)
            if delivery is None:
                raise ResourceNotFound("delivery")
            if delivery.state not in _RETRYABLE:
                raise DeliveryNotChangeable(delivery.state)
            for row in [delivery, *self._list_dependent_parts(session, delivery)]:
                row.state, row.attempts, row.error = "queued", 0, None
                row.next_attempt_at, row.expires_at = now, now + DELIVERY_LIFETIME
                row.lease_holder = row.lease_until = None
                row.payload = {k: v for k, v in row.payload.items() if k != "progress"}
                row.updated_at = now
            session.flush()
            self._log.requeue_message(session, delivery.message_id)
            announce_work(session)
            session.refresh(delivery)
            session.expunge(delivery)
            return delivery

    def cancel(self, tenant_id: str, delivery_id: str) -> Delivery:
        """Cancel a delivery that is not sent yet. One with an unknown outcome is given up.

        Raises:
            ResourceNotFound: the tenant has no such delivery.
            DeliveryNotChangeable: the delivery is being sent, or its outcome is known.
        """
        with self._database.write(tenant_id) as session:
            delivery = store.find_delivery(session, tenant_id, delivery_id)
            if delivery is None:
                raise ResourceNotFound("delivery")
            if delivery.state not in _CANCELLABLE:
                raise DeliveryNotChangeable(delivery.state)
            move_delivery(session, self._log, delivery, "cancelled", self._now())
            session.flush()
            session.refresh(delivery)
            session.expunge(delivery)
            return delivery

    def _list_dependent_parts(self, session: Session, delivery: Delivery) -> list[Delivery]:
        if delivery.kind != "message" or delivery.message_id is None:
            return []
        return [
            part
            for part in store.list_parts(session, delivery.message_id)
            if part.part > delivery.part
            and part.state == "cancelled"
            and (part.error or {}).get("code") == "earlier_part_failed"
        ]
