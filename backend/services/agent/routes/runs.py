"""Route for the record of a run: the states of its nodes, for the owner of the session."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Self

from flask import Blueprint
from pydantic import BaseModel

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.security import Permission, require_permission
from backend.services.agent.domain.answers.run_records import RunRecordService, RunStates
from backend.services.agent.errors import ConversationNotFound, RunNotFound
from backend.services.agent.model import RequestType
from backend.services.agent.routes.request_caller import get_caller
from backend.services.agent.routes.schemas import UsageResponse

bp = Blueprint("runs", __name__)


class RunNodeResponse(BaseModel):
    """State of a node: what a model or tool received and returned.

    `name` is the model or tool. `status` is `ok`, `refused`, `error`, or the error code of a
    model. Values of arguments that are named like secrets are replaced. With `is_truncated`, long
    texts are cut, or `inputs` and `outputs` are null because the run was too long.
    """

    kind: Literal["request", "model", "tool", "answer"]
    name: str
    status: str
    took_ms: int | None
    inputs: Any
    outputs: Any
    is_truncated: bool


class RunResponse(BaseModel):
    """A recorded run with its nodes, from the request to the answer."""

    run_id: str
    session_id: str
    created_at: datetime
    request_type: RequestType
    model: str
    finish_reason: str
    usage: UsageResponse
    took_ms: int
    nodes: Sequence[RunNodeResponse]

    @classmethod
    def from_states(cls, session_id: str, states: RunStates) -> Self:
        run = states.run
        return cls(
            run_id=run.run_id,
            session_id=session_id,
            created_at=run.created_at,
            request_type=run.run_request.request_type,
            model=run.model,
            finish_reason=run.finish_reason,
            usage=UsageResponse(
                prompt_tokens=run.prompt_tokens, completion_tokens=run.completion_tokens
            ),
            took_ms=run.took_ms,
            nodes=[
                RunNodeResponse.model_validate(node, from_attributes=True) for node in states.nodes
            ],
        )


@bp.get("/sessions/<session_id>/runs/<run_id>")
@require_permission(Permission.AGENT_QUERY)
@responds_with(RunResponse, errors=(ConversationNotFound, RunNotFound))
def get_run(session_id: str, run_id: str) -> RunResponse:
    """Get the record of a run with the state at each of its nodes.

    `run_id` is that of a message. A session keeps the records of its latest 20 runs, and they are
    deleted with it.
    """
    states = use(RunRecordService).get_states(get_caller(), session_id, run_id)
    return RunResponse.from_states(session_id, states)
