"""Sends the deliveries in the table: one attempt or look-up at a time.

The state `sending` and a lease are committed before the call. If the process dies, or the provider
does not respond completely, the outcome is unknown: it is looked up where the channel allows this,
and the message is sent again only if the provider certainly does not have it.
"""

import logging
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import BoundedSemaphore, Lock
from time import monotonic, sleep
from typing import Final

from backend.chassis.database.errors import classify_error
from backend.chassis.database.sessions import Database, Session
from backend.services.chat.clients.outcomes import ChannelClient, SendOutcome
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.rendering.contents import SignLink
from backend.services.chat.domain.sending import timing
from backend.services.chat.domain.sending.outcomes import OutcomeRecorder
from backend.services.chat.domain.sending.requests import (
    LoadFile,
    NotSendable,
    OpenSecrets,
    Request,
    read_request,
)
from backend.services.chat.domain.sending.states import cancel_later_parts, move_delivery
from backend.services.chat.store import delivery_claims as store
from backend.services.chat.store import send_rates
from backend.services.chat.store.base import new_id
from backend.services.chat.store.tables import Delivery

_log = logging.getLogger(__name__)
_LEASE: Final = timedelta(seconds=30)
_RECOVERY_SECONDS: Final = 2.0
_RECOVERY_BATCH: Final = 100
_RECORD_ATTEMPTS: Final = 6
# Threads of a worker that may call hooks at the same time. The others stay free for channels.
_MAX_HOOK_CALLS: Final = 2


class DeliveryEngine:
    """Sends deliveries of all tenants. Safe to share between threads.

    Args:
        database: the tables; its sessions must see every tenant.
        clients: the clients by channel.
        log: changes the states of messages.
        open_secrets: decrypts credentials.
        load_file: reads stored files.
        public_url: address of the gateway for callbacks of providers, or "".
        now: the clock.
        sign_fetch_link: makes links to files for channels whose providers fetch them.
        lease: time after which an attempt is unknown if its process has died. `renew_leases`
            must be called more often.
    """

    def __init__(
        self,
        database: Database,
        clients: Mapping[str, ChannelClient],
        log: MessageLog,
        open_secrets: OpenSecrets,
        load_file: LoadFile,
        public_url: str,
        now: Callable[[], datetime],
        *,
        sign_fetch_link: SignLink = lambda _attachment_id: None,
        lease: timedelta = _LEASE,
        get_random: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._clients = clients
        self._log = log
        self._open_secrets = open_secrets
        self._load_file = load_file
        self._public_url = public_url
        self._sign_fetch_link = sign_fetch_link
        self._now = now
        self._lease = lease
        self._recorder = OutcomeRecorder(log, clients, now, get_random)
        # Names this process; the ids are random.
        self.holder = new_id("worker")
        self._lock = Lock()
        self._recover_at = 0.0
        self._calls = 0
        self._hook_calls = BoundedSemaphore(_MAX_HOOK_CALLS)

    def run_once(self) -> bool:
        """Send or look up one delivery that is due. Returns False if none is due."""
        self._recover_sometimes()
        with_hooks = self._hook_calls.acquire(blocking=False)
        try:
            return self._run_once(with_hooks=with_hooks)
        finally:
            if with_hooks:
                self._hook_calls.release()

    def _run_once(self, *, with_hooks: bool) -> bool:
        now = self._now()
        # Nearly always none is due, and a transaction that writes blocks others on SQLite.
        with self._database.read() as session:
            if not store.has_due_delivery(session, now):
                return False
        with self._database.write() as session:
            delivery = store.claim_delivery(
                session, self.holder, now, now + self._lease, with_hooks=with_hooks
            )
            if delivery is None:
                return False
            request = self._prepare(session, delivery)
        if request is not None:
            with self._count_call():
                self._record(request, self._call(request))
        return True

    @property
    def is_busy(self) -> bool:
        """True while this process has leases."""
        return self._calls > 0

    def renew_leases(self) -> None:
        """Extend the leases of this process."""
        with self._database.write() as session:
            store.renew_leases(session, self.holder, self._now() + self._lease)

    def recover(self) -> None:
        """Mark attempts of dead processes as unknown, and fail deliveries that are too old."""
        now = self._now()
        with self._database.write() as session:
            for delivery in store.list_expired_leases(session, now, _RECOVERY_BATCH):
                _log.warning(
                    "delivery %s: its worker has died; the outcome is unknown", delivery.id
                )
                self._recorder.record(
                    session,
                    delivery,
                    SendOutcome("unknown", code="worker_died", detail="The worker has died."),
                )
            for delivery in store.list_expired(session, now, _RECOVERY_BATCH):
                error = delivery.error or {"code": "expired", "detail": "It could not be sent."}
                move_delivery(session, self._log, delivery, "failed", now, error=error)
                cancel_later_parts(session, self._log, delivery, now)
            send_rates.delete_past(session, now)

    @contextmanager
    def _count_call(self) -> Iterator[None]:
        with self._lock:
            self._calls += 1
        try:
            yield
        finally:
            with self._lock:
                self._calls -= 1

    def _recover_sometimes(self) -> None:
        with self._lock:
            if monotonic() < self._recover_at:
                return
            self._recover_at = monotonic() + _RECOVERY_SECONDS
        self.recover()

    def _prepare(self, session: Session, delivery: Delivery) -> Request | None:
        """Return the request of a claimed delivery, or settle the delivery and return None."""
        now = self._now()
        if delivery.state == "sending":
            progress = dict(delivery.payload.get("progress") or {})
            progress |= {"attempt_at": now.isoformat(), "look_ups": 0}
            delivery.payload = {**delivery.payload, "progress": progress}
        try:
            request = read_request(
                session,
                delivery,
                self._open_secrets,
                self._load_file,
                self._public_url,
                now,
                self._sign_fetch_link,
            )
        except NotSendable as error:
            self._settle(session, delivery, error.state, error.code, str(error))
            return None
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # A payload that cannot be read must not hold up the queue.
            _log.exception("delivery %s cannot be read", delivery.id)
            self._settle(session, delivery, "failed", "invalid_payload", str(error))
            return None
        if not request.is_look_up:
            self._consume_rates(session, delivery, request, now)
        return request

    def _settle(
        self, session: Session, delivery: Delivery, state: str, code: str, detail: str
    ) -> None:
        now, reason = self._now(), {"code": code, "detail": detail[:300]}
        move_delivery(session, self._log, delivery, state, now, error=reason)
        cancel_later_parts(session, self._log, delivery, now)

    def _consume_rates(
        self, session: Session, delivery: Delivery, request: Request, now: datetime
    ) -> None:
        tenant_id = delivery.tenant_id
        limit = timing.get_account_rate(request.channel, request.job.account.settings)
        if limit is not None and delivery.account_id is not None:
            key = send_rates.account_key(delivery.account_id)
            media = request.job.part.media
            is_heavy = media is not None and media.type in {"audio", "video"}
            weight = timing.MEDIA_WEIGHTS.get(request.channel, 1) if is_heavy else 1
            send_rates.consume(session, tenant_id, key, limit, now, weight=weight)
        limit = timing.CONVERSATION_RATES.get(request.channel)
        if request.channel == "telegram" and request.job.key.startswith("chat:-"):
            limit = timing.TELEGRAM_GROUP_RATE
        if limit is not None and delivery.conversation_id is not None:
            key = send_rates.conversation_key(delivery.conversation_id)
            send_rates.consume(session, tenant_id, key, limit, now)

    def _call(self, request: Request) -> SendOutcome:
        client = self._clients.get(request.channel)
        if client is None:
            return SendOutcome("failed", code="no_client", detail="The channel cannot send.")
        try:
            return client.look_up(request.job) if request.is_look_up else client.send(request.job)
        except Exception:  # noqa: BLE001 - a defect; the provider can have the message
            _log.exception("delivery %s: the client failed", request.delivery_id)
            return SendOutcome("unknown", code="internal_error", detail="The client failed.")

    def _record(self, request: Request, outcome: SendOutcome) -> None:
        """Store the outcome. Repeated while the database is busy: an outcome must not be lost."""
        for attempt in range(_RECORD_ATTEMPTS):
            try:
                with self._database.write() as session:
                    delivery = store.get_leased_delivery(session, request.delivery_id)
                    if delivery is not None:
                        self._recorder.record(session, delivery, outcome, holder=self.holder)
            except Exception as error:  # only errors of the database are handled
                if classify_error(error) is None or attempt == _RECORD_ATTEMPTS - 1:
                    raise
                sleep(0.1 * 2**attempt)
            else:
                return
