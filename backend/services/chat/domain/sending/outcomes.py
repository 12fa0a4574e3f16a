"""Store the outcomes of attempts and look-ups."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from backend.chassis.database.sessions import Session
from backend.services.chat.clients.outcomes import ChannelClient, SendOutcome
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.sending import timing
from backend.services.chat.domain.sending.states import cancel_later_parts, move_delivery
from backend.services.chat.domain.templates import set_status
from backend.services.chat.store import delivery_claims as store
from backend.services.chat.store import inbound, send_rates
from backend.services.chat.store.tables import Delivery

_log = logging.getLogger(__name__)
# Without a Retry-After, a limited delivery waits for this time.
_LIMITED_PAUSE: Final = timedelta(seconds=5)
_MAX_LIMITED_PAUSE: Final = timedelta(minutes=15)
# Set by the client if a repetition is harmless: the receiver recognises it.
_REPEATABLE: Final = "repeatable"
# Codes of an outcome by which the provider reports the status of a template.
_TEMPLATE_STATUSES: Final = {"template_paused": "paused", "template_disabled": "disabled"}
# These have the same effect if they are repeated.
_HARMLESS: Final = frozenset({"edit", "delete", "reaction"})


class OutcomeRecorder:
    """Moves deliveries on by the outcomes of attempts.

    Args:
        clients: the clients by channel, for how they prove an unknown outcome.
        get_random: returns a number from 0 to 1.
    """

    def __init__(
        self,
        log: MessageLog,
        clients: Mapping[str, ChannelClient],
        now: Callable[[], datetime],
        get_random: Callable[[], float],
    ) -> None:
        self._log = log
        self._clients = clients
        self._now = now
        self._get_random = get_random

    def record(
        self,
        session: Session,
        delivery: Delivery,
        outcome: SendOutcome,
        *,
        holder: str | None = None,
    ) -> None:
        """Store *outcome* of the delivery, which the transaction has locked.

        Args:
            holder: who made the attempt. If it has lost the lease, only success counts.
        """
        if outcome.state == "sent":
            self._record_success(session, delivery, outcome)
            return
        if holder is not None and delivery.lease_holder != holder:
            return
        was_look_up = delivery.state == "unknown"
        if delivery.state not in {"sending", "unknown"}:
            return
        if outcome.progress:
            _update_progress(delivery, outcome.progress)
        if was_look_up:
            self._record_look_up(session, delivery, outcome)
            return
        match outcome.state:
            case "retry":
                self._retry(session, delivery, outcome)
            case "limited":
                self._postpone(session, delivery, outcome)
            case "failed":
                if delivery.hook_id is not None:
                    self._count_hook_failure(session, delivery.hook_id, outcome)
                self._fail(session, delivery, outcome)
            case "revoked":
                self._stop_account(session, delivery, outcome)
            case "unknown" if delivery.kind in _HARMLESS:
                self._retry(session, delivery, outcome)
            case "unknown":
                self._await_proof(session, delivery, outcome)

    def _record_success(self, session: Session, delivery: Delivery, outcome: SendOutcome) -> None:
        now = self._now()
        move_delivery(session, self._log, delivery, "sent", now, external_id=outcome.external_id)
        if delivery.hook_id is not None:
            self._reset_hook(session, delivery.hook_id)
        if delivery.account_id is None:
            return
        self._apply_early_statuses(session, delivery, delivery.account_id, now)
        account = store.get_account(session, delivery.account_id)
        if account is not None and (account.failures or account.open_until):
            account.failures, account.open_until = 0, None

    def _apply_early_statuses(
        self, session: Session, delivery: Delivery, account_id: str, now: datetime
    ) -> None:
        """Apply the statuses that arrived before the provider's id was known."""
        if delivery.external_id is None:
            return
        target = (account_id, delivery.external_id)
        early = inbound.list_early_events(session, [target]).get(target, ())
        rows = [row for row in early if row.event.get("kind") == "status"]
        for row in rows:
            error = row.event.get("error") or None
            move_delivery(session, self._log, delivery, row.status, now, error=error)
        inbound.delete_early_events(session, [row.id for row in rows])

    def _record_look_up(self, session: Session, delivery: Delivery, outcome: SendOutcome) -> None:
        now = self._now()
        progress = delivery.payload.get("progress") or {}
        attempt_at = _read_time(progress.get("attempt_at"), delivery.created_at)
        if outcome.state == "retry":
            is_settled = now - attempt_at >= timing.SETTLING_PERIOD
            if is_settled or outcome.code == _REPEATABLE:
                self._retry(session, delivery, outcome, counts_for_circuit=False)
                return
        look_ups = int(progress.get("look_ups") or 0) + 1
        _update_progress(delivery, {"look_ups": look_ups})
        is_provable = self._get_proof(session, delivery) == "look_up"
        if not is_provable or now >= delivery.expires_at:
            self._leave_unknown(delivery)
            return
        pause = timing.get_look_up_pause(look_ups)
        if outcome.state == "retry":
            pause = min(pause, max(attempt_at + timing.SETTLING_PERIOD - now, timedelta(seconds=1)))
        pause = max(pause, timedelta(seconds=outcome.retry_after or 0))
        self._release(delivery, "unknown", now + pause, delivery.error)

    def _retry(
        self,
        session: Session,
        delivery: Delivery,
        outcome: SendOutcome,
        *,
        counts_for_circuit: bool = True,
    ) -> None:
        if counts_for_circuit and delivery.hook_id is not None:
            self._count_hook_failure(session, delivery.hook_id, outcome)
        elif counts_for_circuit:
            self._count_failure(session, delivery)
        if delivery.attempts >= timing.MAX_ATTEMPTS:
            self._fail(
                session, delivery, replace(outcome, code=outcome.code or "too_many_attempts")
            )
            return
        pause = timing.get_backoff(delivery.attempts, self._get_random())
        pause = max(pause, timedelta(seconds=outcome.retry_after or 0))
        self._release(delivery, "queued", self._now() + pause, _to_error(outcome))

    def _postpone(self, session: Session, delivery: Delivery, outcome: SendOutcome) -> None:
        """Wait for the provider's rate limit, which counts as no attempt."""
        progress = delivery.payload.get("progress") or {}
        times = int(progress.get("limited") or 0)
        _update_progress(delivery, {"limited": times + 1})
        if outcome.retry_after is None:
            pause = min(_LIMITED_PAUSE * 2 ** min(times, 10), _MAX_LIMITED_PAUSE)
        else:
            pause = timedelta(seconds=outcome.retry_after)
        until = self._now() + pause
        delivery.attempts -= 1
        self._release(delivery, "queued", until, _to_error(outcome))
        if outcome.whole_account and delivery.account_id is not None:
            key = send_rates.account_key(delivery.account_id)
            send_rates.postpone(session, delivery.tenant_id, key, until)

    def _fail(self, session: Session, delivery: Delivery, outcome: SendOutcome) -> None:
        now = self._now()
        status = _TEMPLATE_STATUSES.get(outcome.code)
        if status is not None and delivery.account_id is not None:
            details = (delivery.payload.get("part") or {}).get("details") or {}
            name, language = str(details.get("name")), str(details.get("language"))
            set_status(session, delivery.account_id, name, language, status, outcome.detail, now)
        # The provider has refused the message, so an unknown outcome is settled too.
        move_delivery(session, self._log, delivery, "failed", now, error=_to_error(outcome))
        cancel_later_parts(session, self._log, delivery, now)

    def _stop_account(self, session: Session, delivery: Delivery, outcome: SendOutcome) -> None:
        """Stop the account. Its deliveries wait until an administrator has renewed the token."""
        now = self._now()
        if delivery.hook_id is not None:
            hook = store.get_hook(session, delivery.hook_id)
            if hook is not None:
                hook.is_enabled, hook.disabled_reason = False, outcome.detail[:200]
            self._fail(session, delivery, outcome)
            return
        delivery.attempts -= 1
        self._release(delivery, "queued", now, _to_error(outcome))
        account = store.lock_account(session, delivery.account_id or "")
        if account is None or account.state != "active":
            return
        _log.warning("account %s: the provider refuses its token: %s", account.id, outcome.code)
        account.state, account.error, account.updated_at = "revoked", _to_error(outcome), now
        self._log.record_account_change(session, account)

    def _await_proof(self, session: Session, delivery: Delivery, outcome: SendOutcome) -> None:
        if outcome.code != "worker_died":
            self._count_failure(session, delivery)
        now = self._now()
        proof = self._get_proof(session, delivery)
        if not move_delivery(
            session, self._log, delivery, "unknown", now, error=_to_error(outcome)
        ):
            return
        if proof == "look_up":
            delivery.next_attempt_at = now + timing.get_look_up_pause(0)
        elif proof == "event":
            delivery.next_attempt_at = now + timing.EVENT_PERIOD

    def _leave_unknown(self, delivery: Delivery) -> None:
        """Nothing more is done until a status, an echo or a person decides."""
        delivery.next_attempt_at = delivery.lease_holder = delivery.lease_until = None

    def _count_failure(self, session: Session, delivery: Delivery) -> None:
        if delivery.account_id is None:
            return
        account = store.lock_account(session, delivery.account_id)
        if account is None:
            return
        account.failures += 1
        pause = timing.get_circuit_pause(account.failures)
        if pause is not None:
            account.open_until = self._now() + pause

    def _count_hook_failure(self, session: Session, hook_id: str, outcome: SendOutcome) -> None:
        """Pause the hook after some failures in a row, and disable it if they last for days.

        The events that wait are cancelled when they are due; people can send them again.
        """
        hook = store.lock_hook(session, hook_id)
        if hook is None:
            return
        now = self._now()
        hook.failures += 1
        hook.failing_since = hook.failing_since or now
        pause = timing.get_circuit_pause(hook.failures)
        if pause is not None:
            hook.open_until = now + pause
        if hook.is_enabled and now - hook.failing_since >= timing.HOOK_FAILURE_PERIOD:
            _log.warning("hook %s is disabled: it has accepted nothing for days", hook.id)
            hook.is_enabled, hook.open_until, hook.updated_at = False, None, now
            reason = f"{hook.failures} attempts failed since {hook.failing_since:%Y-%m-%d %H:%M}"
            hook.disabled_reason = f"{reason} UTC: {outcome.detail}"[:200]

    def _reset_hook(self, session: Session, hook_id: str) -> None:
        hook = store.get_hook(session, hook_id)
        if hook is not None and hook.failures:
            hook.failures, hook.failing_since, hook.open_until = 0, None, None

    def _get_proof(self, session: Session, delivery: Delivery) -> str:
        channel = "generic"
        if delivery.account_id is not None:
            account = store.get_account(session, delivery.account_id)
            channel = account.channel if account is not None else ""
        client = self._clients.get(channel)
        return "none" if client is None else client.proof

    def _release(
        self,
        delivery: Delivery,
        state: str,
        next_attempt_at: datetime,
        error: Mapping[str, Any] | None,
    ) -> None:
        delivery.state, delivery.next_attempt_at = state, next_attempt_at
        delivery.error = dict(error) if error else None
        delivery.lease_holder = delivery.lease_until = None
        delivery.updated_at = self._now()


def _to_error(outcome: SendOutcome) -> dict[str, Any]:
    error = {"code": outcome.code or outcome.state}
    return error | ({"detail": outcome.detail} if outcome.detail else {})


def _update_progress(delivery: Delivery, values: Mapping[str, Any]) -> None:
    progress = {**(delivery.payload.get("progress") or {}), **values}
    delivery.payload = {**delivery.payload, "progress": progress}


def _read_time(value: object, default: datetime) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else default
