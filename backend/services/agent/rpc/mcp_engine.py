"""gRPC methods for other services that let the agent process messages."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from backend.chassis.rpc.calls import Call
from backend.chassis.rpc.messages import parse_message
from backend.rpc_schema.suite.ai.v1 import answer_pb2
from backend.rpc_schema.suite.mcp.v1 import mcp_pb2
from backend.security import Input, Permission, require_permission
from backend.services.agent.domain.answers.event_streams import StoredEvents
from backend.services.agent.domain.answers.service import OnBusy
from backend.services.agent.routes.schemas import Identifier, QueryRequest, RequestText
from backend.services.agent.rpc.runs import read_answer, start_run, stream_run


class MessageInput(Input):
    """A message to process. `on_busy` is as in `QueryRequest`."""

    message: RequestText
    session_id: Identifier | None = None
    collection: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    persona: Identifier | None = None
    model: Identifier | None = None
    on_busy: OnBusy = "enqueue"


class McpEngine:
    """Handlers of suite.mcp.v1.McpEngine."""

    @require_permission(Permission.AGENT_QUERY)
    def process_message(
        self, request: mcp_pb2.ProcessMessageRequest, call: Call
    ) -> answer_pb2.Answer:
        return read_answer(_start_run(request), call)

    @require_permission(Permission.AGENT_QUERY)
    def process_message_stream(
        self, request: mcp_pb2.ProcessMessageRequest, call: Call
    ) -> Iterator[answer_pb2.ResponseEvent | None]:
        return stream_run(_start_run(request), call)


def _start_run(request: mcp_pb2.ProcessMessageRequest) -> StoredEvents:
    options = parse_message(MessageInput, request).model_dump()
    return start_run(QueryRequest(user_request=options.pop("message"), **options))
