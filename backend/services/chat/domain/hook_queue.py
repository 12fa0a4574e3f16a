"""Queues events for the hooks of a tenant, in the transaction of the change."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

from backend.chassis.database.sessions import Session
from backend.chassis.messaging.event_types import EventData
from backend.security.expiring_cache import ExpiringCache
from backend.services.chat.store import deliveries as store
from backend.services.chat.store import hooks
from backend.services.chat.store.base import new_id
from backend.services.chat.store.tables import Delivery
from backend.services.chat.store.work import announce_work

_LIFETIME: Final = timedelta(hours=24)
# If the signal of a change is lost, a new or changed hook gets events after this time at most.
_CACHE_SECONDS: Final = 5.0
_MAX_TENANTS: Final = 10_000

# (id, events) of the enabled hooks of one tenant
_Hooks = Sequence[tuple[str, frozenset[str]]]
_SIGNAL: Final = "hooks:"


def get_signal(tenant_id: str) -> str:
    """Return the signal that hooks of the tenant have changed."""
    return _SIGNAL + tenant_id


class HookQueue:
    """Adds a delivery for each hook that subscribes to an event."""

    def __init__(self, now: Callable[[], datetime], clock: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._clock = clock
        self._cache: ExpiringCache[str, _Hooks] = ExpiringCache(_MAX_TENANTS, clock)

    def queue_event(self, session: Session, tenant_id: str, event: EventData) -> None:
        """Queue *event* for the tenant's hooks that subscribe to its type."""
        subscribed = [
            hook_id
            for hook_id, events in self._load_hooks(session, tenant_id)
            if event.event_type in events
        ]
        now = self._now()
        for hook_id in subscribed:
            store.add_delivery(
                session,
                Delivery(
                    id=new_id("dlv"),
                    tenant_id=tenant_id,
                    hook_id=hook_id,
                    kind="event",
                    state="queued",
                    ref=new_id("ref"),
                    payload={
                        "type": event.event_type,
                        "timestamp": now.isoformat().replace("+00:00", "Z"),
                        "data": event.model_dump(mode="json"),
                    },
                    next_attempt_at=now,
                    expires_at=now + _LIFETIME,
                    created_at=now,
                    updated_at=now,
                ),
            )
        if subscribed:
            announce_work(session)

    def invalidate_hooks(self, signal: str) -> None:
        """Remove the hooks of the tenant that *signal* names from the cache."""
        if signal.startswith(_SIGNAL):
            self._cache.remove(signal.removeprefix(_SIGNAL))

    def _load_hooks(self, session: Session, tenant_id: str) -> _Hooks:
        loaded = self._cache.get(tenant_id)
        if loaded is None:
            now = self._clock()
            loaded = [
                (hook.id, frozenset(hook.events)) for hook in hooks.list_enabled(session, tenant_id)
            ]
            self._cache.set(tenant_id, loaded, now + _CACHE_SECONDS)
        return loaded
