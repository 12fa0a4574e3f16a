"""Webhooks of tracking providers: stored first, then processed.

A webhook is stored in a transaction of its own, and its events in another one. After a crash
between the two, `process_waiting` processes it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from backend.chassis.database.errors import classify_error
from backend.chassis.database.sessions import Database, Session
from backend.chassis.encryption import Encryptor
from backend.services.packages.clients.metrics import PackageMetrics
from backend.services.packages.domain.event_input import EventInput
from backend.services.packages.domain.event_recording import EventService, PackageReport
from backend.services.packages.domain.event_times import MAX_FUTURE, InvalidTime, parse_event_time
from backend.services.packages.domain.packages import Caller
from backend.services.packages.domain.webhooks.payloads import InvalidPayload, read_payload
from backend.services.packages.domain.webhooks.signatures import get_delivery_key, is_signed
from backend.services.packages.errors import (
    CarrierUnknown,
    DeliveryNotFound,
    InvalidEvents,
    QuotaExceeded,
    SignatureInvalid,
    TooManyEvents,
    WebhookAccountNotFound,
)
from backend.services.packages.model import WebhookAccount, WebhookDelivery
from backend.services.packages.store import webhooks as store
from backend.services.packages.store.base import new_id
from backend.services.packages.store.tables import WebhookAccountRow, WebhookDeliveryRow

_log = logging.getLogger(__name__)
# A request processes its webhook itself; older ones are left over from a process that ended.
_LEFT_OVER_AFTER: Final = timedelta(seconds=30)
_BATCH: Final = 100
_MAX_ERROR_CHARACTERS: Final = 500
_FAILURES: Final = (CarrierUnknown, InvalidEvents, InvalidPayload, QuotaExceeded, TooManyEvents)


class WebhookService:
    """Accounts of tracking providers, and the webhooks that they send."""

    def __init__(
        self,
        database: Database,
        encryptor: Encryptor,
        events: EventService,
        metrics: PackageMetrics,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._every_tenant = database.across_tenants()
        self._encryptor = encryptor
        self._events = events
        self._metrics = metrics
        self._now = now

    def create_account(self, caller: Caller, source: str, name: str, secret: str) -> WebhookAccount:
        """Create an account. *secret* verifies its webhooks and is stored sealed."""
        account = WebhookAccountRow(
            id=new_id("wha"),
            tenant_id=caller.tenant_id,
            source=source,
            name=name,
            secret=self._encryptor.encrypt_text(secret),
            created_by=caller.user_id,
            created_at=self._now(),
        )
        with self._database.write(caller.tenant_id) as session:
            session.add(account)
            session.flush()
            return _to_account(account)

    def list_accounts(
        self, caller: Caller, limit: int, after: tuple[datetime, str] | None
    ) -> Sequence[WebhookAccount]:
        """Return up to *limit* accounts of the tenant after the cursor, newest first."""
        with self._database.read(caller.tenant_id) as session:
            rows = store.list_accounts(session, caller.tenant_id, limit, after)
            return [_to_account(row) for row in rows]

    def get_account(self, caller: Caller, account_id: str) -> WebhookAccount:
        """Return an account. Raises WebhookAccountNotFound."""
        with self._database.read(caller.tenant_id) as session:
            return _to_account(_find_account(session, caller, account_id))

    def change_account(
        self, caller: Caller, account_id: str, name: str | None, secret: str | None
    ) -> WebhookAccount:
        """Change what is not None. Raises WebhookAccountNotFound."""
        with self._database.write(caller.tenant_id) as session:
            account = _find_account(session, caller, account_id)
            if name is not None:
                account.name = name
            if secret is not None:
                account.secret = self._encryptor.encrypt_text(secret)
            session.flush()
            return _to_account(account)

    def delete_account(self, caller: Caller, account_id: str) -> None:
        """Delete an account and its stored webhooks. Raises WebhookAccountNotFound."""
        with self._database.write(caller.tenant_id) as session:
            session.delete(_find_account(session, caller, account_id))

    def list_deliveries(
        self,
        caller: Caller,
        account_id: str,
        state: str | None,
        limit: int,
        after: tuple[datetime, str] | None,
    ) -> Sequence[WebhookDelivery]:
        """Return webhooks of an account, newest first. Raises WebhookAccountNotFound."""
        with self._database.read(caller.tenant_id) as session:
            account = _find_account(session, caller, account_id)
            rows = store.list_deliveries(session, account, state, limit, after)
            return [_to_delivery(row) for row in rows]

    def replay_delivery(self, caller: Caller, account_id: str, delivery_id: str) -> WebhookDelivery:
        """Process a stored webhook again and return it. Raises DeliveryNotFound."""
        with self._database.read(caller.tenant_id) as session:
            delivery = store.get_delivery(session, delivery_id)
            if (
                delivery is None
                or delivery.tenant_id != caller.tenant_id
                or delivery.account_id != account_id
            ):
                raise DeliveryNotFound
        self._process(caller.tenant_id, delivery_id)
        with self._database.read(caller.tenant_id) as session:
            delivery = store.get_delivery(session, delivery_id)
            if delivery is None:
                raise DeliveryNotFound
            return _to_delivery(delivery)

    def receive(
        self, source: str, account_id: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Verify and store a webhook, then process it. A repeated one is counted only.

        Raises:
            SignatureInvalid: it was not signed with the secret of an account of *source*.
        """
        account = self._verify(source, account_id, headers, body)
        delivery_id = new_id("whd")
        delivery = {
            "id": delivery_id,
            "tenant_id": account.tenant_id,
            "account_id": account.id,
            "source": source,
            "key": get_delivery_key(source, headers, body),
            "body": body,
            "state": "received",
            "attempts": 0,
            "repeats": 0,
            "result": None,
            "error": None,
            "received_at": self._now(),
            "processed_at": None,
        }
        is_added = False

        def write(session: Session) -> None:
            nonlocal is_added
            is_added = store.add_delivery(session, delivery)

        try:
            self._events.groups.write(account.tenant_id, write)
        except store.AccountDeleted:
            raise SignatureInvalid from None
        if not is_added:
            self._metrics.count_webhook(source, "repeated")
            return
        try:
            self._process(account.tenant_id, delivery_id)
        except Exception as error:  # only errors of the database are handled
            if classify_error(error) is None:
                raise
            _log.warning("a webhook is stored, but cannot be processed yet", exc_info=True)

    def process_waiting(self) -> bool:
        """Process webhooks that are left over from a process that ended.

        Returns:
            True if there are more.
        """
        before = self._now() - _LEFT_OVER_AFTER
        with self._every_tenant.read() as session:
            waiting = store.list_waiting(session, before, _BATCH)
        for tenant_id, delivery_id in waiting:
            try:
                self._process(tenant_id, delivery_id)
            except Exception as error:  # one webhook must not stop the others
                if classify_error(error) is not None:
                    raise  # the database does not respond: try again later
                _log.exception("webhook %s cannot be processed", delivery_id)
                with self._database.write(tenant_id) as session:
                    store.mark_failed(session, delivery_id, "Internal error.", self._now())
        return len(waiting) == _BATCH

    def _verify(
        self, source: str, account_id: str, headers: Mapping[str, str], body: bytes
    ) -> WebhookAccountRow:
        with self._every_tenant.read() as session:
            account = store.get_account(session, account_id)
            session.expunge_all()
        if account is not None and account.source == source:
            secret = self._encryptor.decrypt_text(account.secret)
            if is_signed(source, secret, headers, body, self._now()):
                return account
        self._metrics.count_webhook(
            source if account is not None and account.source == source else "unknown", "rejected"
        )
        raise SignatureInvalid

    def _process(self, tenant_id: str, delivery_id: str) -> None:
        """Record the events of a stored webhook in one transaction with its new state."""
        source = "unknown"

        def write(session: Session) -> None:
            nonlocal source
            delivery = store.lock_delivery(session, delivery_id)
            if delivery is None or delivery.state == "done":
                return
            source = delivery.source
            store.mark_done(session, delivery, self._record(session, delivery), self._now())

        try:
            self._events.groups.write(tenant_id, write)
        except _FAILURES as error:
            detail = _describe(error)
            with self._database.write(tenant_id) as session:
                store.mark_failed(session, delivery_id, detail[:_MAX_ERROR_CHARACTERS], self._now())
            self._metrics.count_webhook(source, "failed")
            _log.warning("webhook %s of %s could not be processed", delivery_id, source)
            return
        if source != "unknown":
            self._metrics.count_webhook(source, "done")

    def _record(self, session: Session, delivery: store.DeliveryRecord) -> dict[str, object]:
        report = read_payload(delivery.source, delivery.body)
        if report is None:
            return {"ignored": True}
        events, skipped = self._select_events(report.events)
        caller = Caller(delivery.tenant_id, f"webhook:{delivery.source}")
        result, created = self._events.record_by_number(
            session,
            caller,
            PackageReport(report.number, report.carrier, events=events),
            f"webhook:{delivery.source}",
        )
        return {
            "package_id": result.package.id,
            "created": created,
            "added": result.added,
            "duplicates": result.duplicates,
            "skipped": skipped,
        }

    def _select_events(
        self, events: Sequence[EventInput]
    ) -> tuple[list[EventInput], list[dict[str, str]]]:
        """Return the events with usable times, and the others with reasons.

        One event with a wrong time must not hide the rest. The body of the webhook is stored.
        """
        selected: list[EventInput] = []
        skipped: list[dict[str, str]] = []
        latest = self._now() + MAX_FUTURE
        for event in events:
            try:
                is_future = parse_event_time(event.occurred_at, event.location).utc > latest
            except InvalidTime as error:
                skipped.append({"occurred_at": event.occurred_at, "detail": str(error)})
                continue
            if is_future:
                detail = "The time is more than 24 hours in the future."
                skipped.append({"occurred_at": event.occurred_at, "detail": detail})
            else:
                selected.append(event)
        return selected, skipped


def _find_account(session: Session, caller: Caller, account_id: str) -> WebhookAccountRow:
    account = store.get_account(session, account_id)
    if account is None or account.tenant_id != caller.tenant_id:
        raise WebhookAccountNotFound
    return account


def _to_account(row: WebhookAccountRow) -> WebhookAccount:
    return WebhookAccount(
        id=row.id,
        tenant_id=row.tenant_id,
        source=row.source,
        name=row.name,
        created_by=row.created_by,
        created_at=row.created_at,
    )


def _to_delivery(row: WebhookDeliveryRow) -> WebhookDelivery:
    return WebhookDelivery(
        id=row.id,
        state=row.state,
        attempts=row.attempts,
        repeats=row.repeats,
        result=row.result,
        error=row.error,
        received_at=row.received_at,
        processed_at=row.processed_at,
    )


def _describe(error: Exception) -> str:
    if isinstance(error, InvalidEvents):
        details = [each["detail"] for each in error.errors() or ()]
        return f"{error} {' '.join(details[:3])}"
    return str(error)
