"""Numbers of a tenant's conversations and messages."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from backend.chassis.database.sessions import Database
from backend.services.chat.domain.access import Caller
from backend.services.chat.store import accounts, messages
from backend.services.chat.store import conversations as store

_PERIOD: Final = timedelta(hours=24)


class StatsService:
    """Counts conversations and messages."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def get_stats(self, caller: Caller) -> dict[str, Any]:
        """Return the numbers of the caller's tenant."""
        with self._database.read(caller.tenant_id) as session:
            counts = messages.count_messages(session, caller.tenant_id, self._now() - _PERIOD)
            by_direction: Counter[str] = Counter()
            for (direction, _), count in counts.items():
                by_direction[direction] += count
            return {
                "conversations": accounts.count_conversations(session, caller.tenant_id),
                "messages_24h": dict(by_direction),
                "failed_24h": sum(n for (_, state), n in counts.items() if state == "failed"),
                "waiting_answers": store.count_due(session, caller.tenant_id),
            }
