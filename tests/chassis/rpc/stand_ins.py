"""A service with handlers that tests choose."""

from collections.abc import Callable, Iterator
from typing import Any

from backend.chassis.rpc.services import RpcService
from backend.rpc_schema.suite.ai.v1 import ai_pb2, answer_pb2
from backend.security import Permission, authenticated, require_permission

DESCRIPTOR = ai_pb2.DESCRIPTOR.services_by_name["AiService"]


class AnswerHandlers:
    """Handlers of AiService that call `answer` and `stream`, with the request and the call."""

    def __init__(self) -> None:
        self.answer: Callable[[Any, Any], str] = lambda _request, _call: "ok"
        self.stream: Callable[[Any, Any], Iterator[str | None]] = lambda _request, _call: iter(())

    @require_permission(Permission.AGENT_QUERY)
    def generate_response(self, request: Any, call: Any) -> answer_pb2.Answer:
        return answer_pb2.Answer(response=self.answer(request, call))

    @require_permission(Permission.AGENT_QUERY)
    def stream_response(self, request: Any, call: Any) -> Iterator[Any]:
        for text in self.stream(request, call):
            yield (
                None
                if text is None
                else answer_pb2.ResponseEvent(token=answer_pb2.TextDelta(text=text))
            )

    @authenticated
    def resume_response(self, request: Any, call: Any) -> Iterator[Any]:
        return self.stream_response(request, call)

    @authenticated
    def cancel_response(self, request: Any, call: Any) -> ai_pb2.CancelResult:
        return ai_pb2.CancelResult()

    @authenticated
    def list_models(self, request: Any, call: Any) -> ai_pb2.ModelList:
        return ai_pb2.ModelList()


def create_services(handlers: object) -> tuple[RpcService]:
    return (RpcService(DESCRIPTOR, handlers),)
