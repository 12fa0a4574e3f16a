"""Measures of finished runs, and their aggregation by hour."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from backend.ai.replies import is_refusal
from backend.chassis.database.sessions import Session
from backend.services.agent.domain.answers.drafts import AnswerDraft
from backend.services.agent.domain.drift.series import HourlyValue, SeriesName
from backend.services.agent.model import RequestType
from backend.services.agent.store import drift as store
from backend.services.agent.tools.documents import SEARCH_DOCUMENTS

# Runs of commands are not requests of users.
_EXCLUDED_TYPES: Final[frozenset[RequestType]] = frozenset({"evaluation", "replay"})


def is_measured(draft: AnswerDraft, status: str) -> bool:
    """Return whether the run of *draft* counts: it was not cancelled and does not wait."""
    return status in {"done", "failed"} and draft.run_request.request_type not in _EXCLUDED_TYPES


def add_measure(session: Session, draft: AnswerDraft, status: str, now: datetime) -> None:
    """Store the measures of the run of *draft* in the transaction of its outcome."""
    searches = [ended for ended in draft.tool_calls if ended.call.tool == SEARCH_DOCUMENTS]
    chunks = [chunk for ended in searches for chunk in ended.result.chunks]
    cites = bool(draft.citation_finder.citations)
    store.add_measure(
        session,
        {
            "id": uuid4().hex,
            "finished_at": now,
            "failed": status == "failed",
            "took_ms": draft.get_elapsed_ms(),
            "tokens": draft.prompt_tokens + draft.completion_tokens,
            "searched": bool(searches),
            "refused": bool(searches) and (not cites or is_refusal(draft.text.strip())),
            "best_score": max((chunk.score for chunk in chunks), default=None),
        },
    )


def get_hour(time: datetime) -> datetime:
    """Return the start of the hour (UTC) of *time*."""
    return time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def add_up_measures(
    measures: Sequence[store.Measure],
) -> dict[tuple[SeriesName, datetime], HourlyValue]:
    """Return the values of *measures* by series and hour."""
    sums: dict[tuple[SeriesName, datetime], HourlyValue] = {}
    for measure in measures:
        hour = get_hour(measure.finished_at)
        for series, value in _list_values(measure):
            added = HourlyValue(hour, 1, value, value * value)
            known = sums.get((series, hour))
            sums[series, hour] = added if known is None else known + added
    return sums


def _list_values(measure: store.Measure) -> Iterator[tuple[SeriesName, float]]:
    """Yield the values of a run by series.

    The duration and the tokens of a failed run say nothing about answers, and only runs that
    searched documents have a share of refusals and empty searches.
    """
    yield "error_rate", float(measure.failed)
    if measure.failed:
        return
    yield "latency", measure.took_ms / 1000
    yield "tokens", float(measure.tokens)
    if measure.searched:
        yield "refusal_rate", float(measure.refused)
        yield "empty_search_rate", float(measure.best_score is None)
    if measure.best_score is not None:
        yield "retrieval_score", measure.best_score
