"""Answers as streams of numbered events, which clients can resume after a disconnect."""

import json
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from backend.ai.citations import Citation
from backend.chassis.observability.tracing import attach_span_context
from backend.services.agent.domain.answers.events import (
    Answer,
    IdleEvent,
    RunStarted,
    StreamEvent,
    StreamEvents,
    TextDelta,
)
from backend.services.agent.domain.conversations.conversations import (
    WRITING,
    ConversationService,
    SavedRun,
)
from backend.services.agent.domain.conversations.run_leases import Step
from backend.services.agent.errors import AnswerIncomplete
from backend.services.agent.model import Caller
from backend.services.agent.store.events import EventRecord, EventStore, Recording

_POLL_SECONDS: Final = 0.1
_RUN_CHECK_INTERVAL_SECONDS: Final = 0.5
_MAX_STORE_DELAY_SECONDS: Final = 0.1
_MAX_BATCH_RECORDS: Final = 64
# json.dumps would create an encoder for each event.
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, default=str)
_FINAL_EVENT_NAMES: Final = frozenset({"done", "error"})

# Converts an event or error to named events with their data.
EventFormatter = Callable[[StreamEvent | Exception], Iterable[tuple[str, Mapping[str, Any]]]]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A stored event record and the event that it was created from."""

    record: EventRecord
    event: StreamEvent | Exception


StoredEvents = Generator[StoredEvent | IdleEvent]


class EventStreamService:
    """Stores the events of runs, and replays them to clients that reconnect."""

    def __init__(self, event_store: EventStore, conversations: ConversationService) -> None:
        self._event_store = event_store
        self._conversations = conversations

    def store_events(
        self, caller: Caller, events: StreamEvents, format_event: EventFormatter
    ) -> StoredEvents:
        """Number and store the *events* of a run of *caller*.

        An error is not raised but yielded as the last event.

        The client receives each event at once. The store receives it with the following ones, with
        the first one after _MAX_STORE_DELAY_SECONDS or when the run is idle, but before the client
        receives the final event.
        """
        number, batch = 0, _RecordBatch()
        try:
            with closing(events):
                for event in _with_error_as_event(events):
                    if isinstance(event, IdleEvent):
                        batch.store()
                        yield event
                        continue
                    if isinstance(event, RunStarted):
                        batch.recording = self._event_store.start_recording(
                            event.conversation_id, event.run_id, caller
                        )
                    records = _create_records(number, format_event(event))
                    number += len(records)
                    batch.add(records)
                    if isinstance(event, (Answer, Exception)):
                        batch.store()
                    for record in records:
                        yield StoredEvent(record, event)
                    batch.store_if_due()
        finally:
            batch.store()

    def resume_stream(
        self,
        caller: Caller,
        conversation_id: str,
        run_id: str | None,
        number: int,
        format_event: EventFormatter,
    ) -> StoredEvents:
        """Yield the events of a run after *number*: stored events, then new ones.

        If the events are no longer stored, yields events created from the stored message.
        """
        run = self._conversations.get_run(caller, conversation_id, run_id)
        return self._follow_run(caller, run, number, format_event)

    def _follow_run(
        self, caller: Caller, run: SavedRun, number: int, format_event: EventFormatter
    ) -> StoredEvents:
        checked_at = time.monotonic()
        is_finished = run.message.status != WRITING
        while True:
            with attach_span_context(None):  # polling must not fill the trace
                records = self._event_store.read_events(run.conversation_id, run.id, number)
            for record in records:
                number = record.number
                yield StoredEvent(record, IdleEvent())
                if record.name in _FINAL_EVENT_NAMES:
                    return
            if records:
                continue
            if is_finished:
                break
            yield IdleEvent()
            time.sleep(_POLL_SECONDS)
            if time.monotonic() - checked_at >= _RUN_CHECK_INTERVAL_SECONDS:
                checked_at = time.monotonic()
                run = self._conversations.get_run(caller, run.conversation_id, run.id)
                # Read stored events once more before the events are created from the message.
                is_finished = run.message.status != WRITING
        for event in _create_events_from_message(run, from_start=number == 0):
            for record in _create_records(number, format_event(event)):
                number = record.number
                yield StoredEvent(record, event)


def _with_error_as_event(events: StreamEvents) -> Generator[StreamEvent | Exception]:
    try:
        yield from events
    except Exception as error:  # noqa: BLE001 - becomes the last event
        yield error


class _RecordBatch:
    """Records of a run that are not stored yet. They are dropped if the run has not started."""

    def __init__(self) -> None:
        self.recording: Recording | None = None
        self._records: list[EventRecord] = []
        self._started_at = 0.0

    def add(self, records: Sequence[EventRecord]) -> None:
        if not self._records:
            self._started_at = time.monotonic()
        self._records += records

    def store_if_due(self) -> None:
        """Store the batch if it is large or old."""
        is_old = time.monotonic() - self._started_at >= _MAX_STORE_DELAY_SECONDS
        if is_old or len(self._records) >= _MAX_BATCH_RECORDS:
            self.store()

    def store(self) -> None:
        records, self._records = self._records, []
        if records and self.recording is not None:
            self.recording.add_records(records)


def _create_records(
    number: int, formatted_event: Iterable[tuple[str, Mapping[str, Any]]]
) -> list[EventRecord]:
    """Return the records of one event, numbered from *number* + 1."""
    return [
        EventRecord(record_number, name, _ENCODER.encode(data))
        for record_number, (name, data) in enumerate(formatted_event, number + 1)
    ]


def _create_events_from_message(
    run: SavedRun, *, from_start: bool
) -> Generator[StreamEvent | Exception]:
    """Create the events of a run from its stored message."""
    message = run.message
    if from_start:
        yield RunStarted(run.conversation_id, run.id, message.id, message.parent_id or "")
        if message.content:
            yield TextDelta(message.content)
    if message.status in {"failed", "interrupted"}:
        yield AnswerIncomplete()
        return
    yield Answer(
        text=message.content,
        conversation_id=run.conversation_id,
        message_id=message.id,
        citations=[Citation(**citation) for citation in message.citations],
        steps=[Step(**step) for step in message.steps],
        model=message.model or "",
        finish_reason=message.finish_reason or message.status,
        prompt_tokens=message.usage.prompt_tokens,
        completion_tokens=message.usage.completion_tokens,
        took_ms=message.took_ms,
        waiting=run.waiting,
    )
