"""Records of runs: their input, tool results and outcome, so that they can be repeated."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final

from backend.chassis.database.sessions import Database, Session
from backend.services.agent.domain.answers.drafts import AnswerDraft
from backend.services.agent.domain.answers.run_nodes import (
    NodeRecorder,
    NodeState,
    bound_states,
)
from backend.services.agent.domain.conversations.conversations import get_own_conversation
from backend.services.agent.domain.conversations.run_leases import LeasedRun
from backend.services.agent.errors import RunNotFound
from backend.services.agent.model import (
    Caller,
    Chunk,
    HistoryMessage,
    PausedRun,
    RunRequest,
    ToolCall,
    ToolContext,
    ToolEnded,
    ToolResult,
)
from backend.services.agent.store import run_records as store
from backend.services.agent.store.tables import RunRecord

_log = logging.getLogger(__name__)

# Records are deleted with their conversation.
MAX_RECORDS_PER_CONVERSATION: Final = 20
_MAX_RECORD_CHARACTERS: Final = 400_000
# Fields of the stored inputs that the state of the request shows.
_REQUEST_FIELDS: Final = (
    *("history", "model", "collection", "instructions", "temperature", "max_tokens"),
    *("permissions", "approved", "request_type"),
)
# Names under which fields of RunRequest are stored; they differ from those in Python.
_STORED_NAMES: Final = {
    "can_pause": "may_pause",
    "model_parameters": "wishes",
    "remaining_daily_tokens": "most_tokens",
}


@dataclass(frozen=True, slots=True)
class RecordedToolCall:
    """A tool call of a run and its result."""

    call: ToolCall
    result: ToolResult


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A recorded run. *run_request* has no caller, so a replay cannot access the caller's data."""

    run_id: str
    created_at: datetime
    run_request: RunRequest
    tool_calls: Sequence[RecordedToolCall]
    text: str
    model: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    took_ms: int


@dataclass(frozen=True, slots=True)
class RunStates:
    """A recorded run with the states of its nodes, from the request to the answer."""

    run: RecordedRun
    nodes: Sequence[NodeState]


class RunRecordService:
    """Stores records of runs, and finds them for the operator."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def add_record(
        self,
        session: Session,
        caller: Caller,
        run: LeasedRun,
        draft: AnswerDraft,
        finish_reason: str,
    ) -> None:
        """Add the run of *draft* with its *finish_reason*, unless the record is too large.

        *session* writes the outcome of the run. The conversation must exist.
        """
        inputs, outcome = _inputs_to_json(draft.run_request), _outcome_to_json(draft, finish_reason)
        size = len(json.dumps([inputs, outcome]))
        if size > _MAX_RECORD_CHARACTERS:
            _log.info("the run %s is too large to be recorded: %d characters", run.run_id, size)
            return
        values = {
            "run_id": run.run_id,
            "tenant_id": caller.tenant_id,
            "conversation_id": run.conversation_id,
            "created_at": self._now(),
            "inputs": inputs,
            "outcome": outcome,
            "nodes": draft.nodes.nodes,
        }
        store.add_record(session, values, MAX_RECORDS_PER_CONVERSATION)

    def get_states(self, caller: Caller, conversation_id: str, run_id: str) -> RunStates:
        """Return the states of the nodes of a run in a conversation of *caller*.

        Raises:
            ConversationNotFound: the conversation does not exist, or it belongs to another user.
            RunNotFound: the run has no record, or belongs to another conversation.
        """
        with self._database.read(caller.tenant_id) as session:
            get_own_conversation(session, caller, conversation_id)
            row = store.find_record(session, run_id)
            if row is None or row.conversation_id != conversation_id:
                raise RunNotFound
            return RunStates(_to_recorded_run(row), _list_nodes(row))

    def find_record(self, run_id: str) -> RecordedRun | None:
        """Return the record of a run of any tenant, or None. Only for the operator's commands."""
        with self._database.across_tenants().read() as session:
            row = store.find_record(session, run_id)
            return None if row is None else _to_recorded_run(row)


def _inputs_to_json(run: RunRequest) -> dict[str, Any]:
    """Return *run* as JSON without the caller's identity and credentials, which must not leak."""
    stored = {
        _STORED_NAMES.get(field.name, field.name): getattr(run, field.name)
        for field in fields(run)
        if field.name != "tool_context"
    }
    stored["history"] = [asdict(message) for message in run.history]
    stored["paused"] = None if run.paused is None else asdict(run.paused)
    context = run.tool_context
    permissions = sorted(context.caller.permissions)
    return stored | {"collection": context.collection, "permissions": permissions}


def _outcome_to_json(draft: AnswerDraft, finish_reason: str) -> dict[str, Any]:
    return {
        "used": [
            {"call": asdict(ended.call), "outcome": _result_to_json(ended.result)}
            for ended in draft.tool_calls
        ],
        "text": draft.text,
        "model": draft.model,
        "finish_reason": finish_reason,
        "prompt_tokens": draft.prompt_tokens,
        "completion_tokens": draft.completion_tokens,
        "took_ms": draft.get_elapsed_ms(),
    }


def _result_to_json(result: ToolResult) -> dict[str, Any]:
    fields_by_name = asdict(result)
    return fields_by_name | {"passages": fields_by_name.pop("chunks")}


def _list_nodes(row: RunRecord) -> list[NodeState]:
    """Return the request, the model and tool calls, and the answer.

    Records of earlier versions have no model calls.
    """
    run = _to_recorded_run(row)
    nodes = row.nodes
    if nodes is None:
        recorder = NodeRecorder()
        for call in run.tool_calls:
            recorder.add_tool_call(ToolEnded(call.call, call.result, 0))
        nodes = [node | {"took_ms": None} for node in recorder.nodes]
    inputs = {name: row.inputs.get(name) for name in _REQUEST_FIELDS}
    outputs = {"text": run.text, "finish_reason": run.finish_reason, "model": run.model}
    return [
        NodeState("request", "", "ok", None, **bound_states(inputs, None)),
        *(NodeState(**node) for node in nodes),
        NodeState("answer", "", "ok", run.took_ms, **bound_states(None, outputs)),
    ]


def _to_recorded_run(row: RunRecord) -> RecordedRun:
    outcome = dict(row.outcome)
    return RecordedRun(
        run_id=row.run_id,
        created_at=row.created_at,
        run_request=_parse_run_request(row.inputs),
        tool_calls=[_parse_tool_call(call) for call in outcome.pop("used")],
        **outcome,
    )


def _parse_run_request(inputs: Mapping[str, Any]) -> RunRequest:
    names = {stored: name for name, stored in _STORED_NAMES.items()}
    fields_by_name = {names.get(name, name): value for name, value in inputs.items()}
    permissions = frozenset(fields_by_name.pop("permissions"))
    context = ToolContext(
        Caller("operator", "operator", {}, permissions=permissions),
        fields_by_name.pop("collection"),
    )
    history = [HistoryMessage(**message) for message in fields_by_name.pop("history")]
    paused = fields_by_name.pop("paused")
    if paused is not None:
        paused = PausedRun(paused["messages"], [ToolCall(**call) for call in paused["calls"]])
    return RunRequest(history=history, tool_context=context, paused=paused, **fields_by_name)


def _parse_tool_call(stored: Mapping[str, Any]) -> RecordedToolCall:
    result = dict(stored["outcome"])
    chunks = [Chunk(**chunk) for chunk in result.pop("passages")]
    return RecordedToolCall(ToolCall(**stored["call"]), ToolResult(chunks=chunks, **result))
