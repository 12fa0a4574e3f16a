"""Times of further attempts to send a mail, for all mail queues."""

from datetime import datetime, timedelta

from backend.services.auth.store.delivery_queue import MAX_WAIT

# A mail claimed by a process that was killed becomes due again after this time.
CLAIM_DURATION = timedelta(minutes=2)
_ABANDON_AFTER = timedelta(hours=24)
_FIRST_DELAY = timedelta(seconds=5)


def get_next_attempt(created_at: datetime, attempts: int, now: datetime) -> datetime | None:
    """Return the time of the next attempt, or None if the mail is abandoned.

    Args:
        created_at: time at which the mail was queued.
        attempts: number of attempts so far.
    """
    if now - created_at >= _ABANDON_AFTER:
        return None
    return now + min(_FIRST_DELAY * (1 << min(attempts, 10)), MAX_WAIT)
