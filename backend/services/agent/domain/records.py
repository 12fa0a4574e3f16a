"""Records of runs: what each started from and what its tools gave back, to run it again by."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final

from backend.chassis.database.sessions import Database
from backend.services.agent.clients.runs import (
    Call,
    Caller,
    Outcome,
    Passage,
    Paused,
    Run,
    Said,
    Setting,
)
from backend.services.agent.domain.drafts import Draft
from backend.services.agent.domain.turns import Turn
from backend.services.agent.store import conversations
from backend.services.agent.store import records as store
from backend.services.agent.store.tables import RunRecord

_log = logging.getLogger(__name__)

# Of one conversation; they are deleted with it.
MOST_RECORDS: Final = 20
_MOST_CHARACTERS: Final = 400_000


@dataclass(frozen=True, slots=True)
class Used:
    """A tool call that was made, and its outcome."""

    call: Call
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Record:
    """One run as it was; *run* is nobody's, so that it cannot reach anything of its caller's."""

    run_id: str
    created_at: datetime
    run: Run
    used: Sequence[Used]
    text: str
    model: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    took_ms: int


class Records:
    """Keeps the records of runs, and finds them for an operator."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def keep(self, caller: Caller, turn: Turn, draft: Draft, reason: str) -> None:
        """Keep the run of *draft*, which has ended with *reason*."""
        inputs, outcome = _inputs(draft.run), _outcome(draft, reason)
        size = len(json.dumps([inputs, outcome]))
        if size > _MOST_CHARACTERS:
            _log.info("the run %s is too large to be recorded: %d characters", turn.run_id, size)
            return
        record = RunRecord(
            run_id=turn.run_id,
            tenant_id=caller.tenant_id,
            conversation_id=turn.conversation_id,
            created_at=self._now(),
            inputs=inputs,
            outcome=outcome,
        )
        with self._database.write(caller.tenant_id) as session:
            # It may have been deleted meanwhile, and its records with it.
            if conversations.find(session, caller.tenant_id, caller.user_id, turn.conversation_id):
                store.add(session, record, MOST_RECORDS)

    def find(self, run_id: str) -> Record | None:
        """The record of a run, whosever it was: for the operator at the command line."""
        with self._database.across_tenants().read() as session:
            kept = store.find(session, run_id)
            return None if kept is None else _record(kept)


def _inputs(run: Run) -> dict[str, Any]:
    """All of *run* but who asked: a record must not hold what lets its reader act for them."""
    named = {each.name: getattr(run, each.name) for each in fields(run) if each.name != "setting"}
    named["history"] = [asdict(said) for said in run.history]
    named["paused"] = None if run.paused is None else asdict(run.paused)
    setting = run.setting
    permissions = sorted(setting.caller.permissions)
    return named | {"collection": setting.collection, "permissions": permissions}


def _outcome(draft: Draft, reason: str) -> dict[str, Any]:
    return {
        "used": [
            {"call": asdict(ended.call), "outcome": asdict(ended.outcome)} for ended in draft.used
        ],
        "text": draft.text,
        "model": draft.model,
        "finish_reason": reason,
        "prompt_tokens": draft.prompt_tokens,
        "completion_tokens": draft.completion_tokens,
        "took_ms": draft.took_ms(),
    }


def _record(kept: RunRecord) -> Record:
    outcome = dict(kept.outcome)
    return Record(
        run_id=kept.run_id,
        created_at=kept.created_at,
        run=_run(kept.inputs),
        used=[_used(each) for each in outcome.pop("used")],
        **outcome,
    )


def _run(inputs: Mapping[str, Any]) -> Run:
    given = dict(inputs)
    may = frozenset(given.pop("permissions"))
    setting = Setting(Caller("operator", "operator", {}, permissions=may), given.pop("collection"))
    history = [Said(**each) for each in given.pop("history")]
    paused = given.pop("paused")
    if paused is not None:
        paused = Paused(paused["messages"], [Call(**each) for each in paused["calls"]])
    return Run(history=history, setting=setting, paused=paused, **given)


def _used(kept: Mapping[str, Any]) -> Used:
    outcome = dict(kept["outcome"])
    passages = [Passage(**each) for each in outcome.pop("passages")]
    return Used(Call(**kept["call"]), Outcome(passages=passages, **outcome))
