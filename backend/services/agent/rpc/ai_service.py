"""gRPC methods for answers of the agent."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from backend.chassis.rpc.calls import Call
from backend.chassis.rpc.messages import build_message, parse_message
from backend.chassis.web.app_factory import use
from backend.rpc_schema.suite.ai.v1 import ai_pb2, answer_pb2
from backend.security import Input, Permission, require_permission
from backend.services.agent.domain.answers.event_streams import EventStreamService
from backend.services.agent.domain.conversations.conversations import ConversationService
from backend.services.agent.routes.openai import get_models
from backend.services.agent.routes.request_caller import get_caller
from backend.services.agent.routes.schemas import Identifier, QueryRequest
from backend.services.agent.routes.stream_events import to_sse_events
from backend.services.agent.rpc.runs import read_answer, start_run, stream_run


class SessionReference(Input):
    session_id: Identifier


class RunPosition(SessionReference):
    run_id: Identifier | None = None
    after_sequence: Annotated[int, Field(ge=0, lt=1_000_000_000)] = 0


class AiService:
    """Handlers of suite.ai.v1.AiService."""

    @require_permission(Permission.AGENT_QUERY)
    def generate_response(self, request: ai_pb2.GenerateRequest, call: Call) -> answer_pb2.Answer:
        query = parse_message(QueryRequest, request)
        continues = _continues(query)
        return read_answer(start_run(query, continues=continues), call, continues=continues)

    @require_permission(Permission.AGENT_QUERY)
    def stream_response(
        self, request: ai_pb2.GenerateRequest, call: Call
    ) -> Iterator[answer_pb2.ResponseEvent | None]:
        query = parse_message(QueryRequest, request)
        continues = _continues(query)
        return stream_run(start_run(query, continues=continues), call, continues=continues)

    @require_permission(Permission.AGENT_QUERY)
    def resume_response(
        self, request: ai_pb2.ResumeRequest, call: Call
    ) -> Iterator[answer_pb2.ResponseEvent | None]:
        position = parse_message(RunPosition, request)
        events = use(EventStreamService).resume_stream(
            get_caller(),
            position.session_id,
            position.run_id,
            position.after_sequence,
            to_sse_events,
        )
        return stream_run(events, call)

    @require_permission(Permission.AGENT_QUERY)
    def cancel_response(self, request: ai_pb2.CancelRequest, _call: Call) -> ai_pb2.CancelResult:
        session = parse_message(SessionReference, request)
        use(ConversationService).cancel_run(get_caller(), session.session_id)
        return ai_pb2.CancelResult()

    @require_permission(Permission.AGENT_QUERY)
    def list_models(self, _request: ai_pb2.ListModelsRequest, _call: Call) -> ai_pb2.ModelList:
        models = [model.model_dump() for model in get_models()]
        return build_message(ai_pb2.ModelList, {"data": models})


def _continues(query: QueryRequest) -> bool:
    return query.on_disconnect == "continue"
