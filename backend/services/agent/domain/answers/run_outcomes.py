"""Outcomes of runs: answer, released lease, record, token usage and audit events."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from backend.chassis.database.sessions import Database, Session
from backend.chassis.messaging.audit_events import AuditEvent
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.chassis.messaging.outbox import EventRecorder
from backend.services.agent.domain.answers.drafts import AnswerDraft
from backend.services.agent.domain.answers.run_records import RunRecordService
from backend.services.agent.domain.conversations.run_leases import (
    AnswerSnapshot,
    LeasedRun,
    RunLeases,
)
from backend.services.agent.domain.drift.measures import add_measure, is_measured
from backend.services.agent.domain.quotas import UsageMeter
from backend.services.agent.events import RunFinished, RunStatus
from backend.services.agent.model import Caller
from backend.services.agent.store import conversations

_EVENTS: Final = EventRecorder("agent")


class RunOutcomeService:
    """Stores the outcome of a run in one transaction."""

    def __init__(
        self,
        database: Database,
        run_leases: RunLeases,
        run_records: RunRecordService,
        audit: AuditOutbox,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._run_leases = run_leases
        self._run_records = run_records
        self._audit = audit
        self._now = now

    def store_outcome(
        self,
        caller: Caller,
        run: LeasedRun,
        draft: AnswerDraft,
        meter: UsageMeter,
        status: RunStatus,
        finish_reason: str,
    ) -> None:
        """Store the answer of *draft* and release the lease.

        The record and the usage are also stored if the run has lost its lease.

        Args:
            status: "done", "failed" or "cancelled"; a done run may wait for an approval.
        """
        paused = draft.to_paused_state(draft.paused) if draft.paused and status == "done" else None
        final_status: RunStatus = "waiting" if paused else status
        snapshot = draft.to_snapshot(final_status, "paused" if paused else finish_reason)
        with self._database.write(caller.tenant_id) as session:
            # A run without its lease has no conversation any more, or another run has the lease.
            if self._run_leases.finish_run(
                session, run, snapshot, paused
            ) or conversations.find_conversation(
                session, caller.tenant_id, caller.user_id, run.conversation_id
            ):
                self._run_records.add_record(session, caller, run, draft, finish_reason)
            self._add_usage(session, draft, meter)
            if is_measured(draft, final_status):
                add_measure(session, draft, final_status, self._now())
            self._record_finish(session, caller, run, snapshot, final_status)

    def _record_finish(
        self,
        session: Session,
        caller: Caller,
        run: LeasedRun,
        snapshot: AnswerSnapshot,
        status: RunStatus,
    ) -> None:
        _EVENTS.record_event(
            session,
            RunFinished(
                run_id=run.run_id,
                conversation_id=run.conversation_id,
                message_id=run.message_id,
                user_id=caller.user_id,
                status=status,
                finish_reason=snapshot.finish_reason or status,
                model=snapshot.model,
                prompt_tokens=snapshot.prompt_tokens,
                completion_tokens=snapshot.completion_tokens,
                took_ms=snapshot.took_ms,
            ),
            subject=run.run_id,
            key=run.conversation_id,
            tenant_id=caller.tenant_id,
            time=self._now(),
        )

    def store_usage(
        self, caller: Caller, draft: AnswerDraft, meter: UsageMeter, status: RunStatus
    ) -> None:
        """Store the usage, the measures and the audit events of a run without a conversation."""
        measured = is_measured(draft, status)
        if measured or meter.has_uncounted_usage or _list_audit_events(draft):
            with self._database.write(caller.tenant_id) as session:
                self._add_usage(session, draft, meter)
                if measured:
                    add_measure(session, draft, status, self._now())

    def _add_usage(self, session: Session, draft: AnswerDraft, meter: UsageMeter) -> None:
        for event in _list_audit_events(draft):
            self._audit.add_event(session, event)
        meter.finish(session)


def _list_audit_events(draft: AnswerDraft) -> Sequence[AuditEvent]:
    """Return the audit events of tool calls that are not recorded yet."""
    return [ended.audit_event for ended in draft.tool_calls if ended.audit_event is not None]
