"""Background task that updates the word counts of a previous version."""

from backend.chassis.background import PeriodicTask
from backend.services.rag.domain.search.word_counts import WordCounts

# Old counts appear only when the software is updated or a backup is restored.
_INTERVAL_SECONDS = 600.0


def create_recount_task(word_counts: WordCounts) -> PeriodicTask:
    """Return a task that counts the words of outdated documents again, a few at a time."""
    return PeriodicTask(
        "word-counts", _INTERVAL_SECONDS, word_counts.recount_time_slice, stops_at_exit=True
    )
