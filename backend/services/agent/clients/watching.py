"""Count, time and trace what models and tools do: LangChain's callbacks and one middleware.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/. What is said is recorded
only where the operator asks for it: traces go to people whom the users do not know.
"""

import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain.agents.middleware import AgentMiddleware, AgentState, ToolCallRequest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from backend.chassis.observability.tracing import Kind, Span, Value, begin, span
from backend.chassis.web.problems import ServiceError
from backend.services.agent.clients.flight import Flight, spent
from backend.services.agent.clients.measures import (
    TOOL_FAILED,
    Labels,
    Measures,
    known,
    tool_attributes,
)
from backend.services.agent.clients.models import MODEL_KEY, PROVIDER_KEY

_log = logging.getLogger(__name__)


class Watch:
    """Everything that watches the agent of one process."""

    def __init__(self, measures: Measures, *, with_content: bool) -> None:
        self._measures = measures
        self._with_content = with_content

    @contextmanager
    def run(self, labels: Labels) -> Iterator[None]:
        """Around one run of the agent."""
        begun, error = time.perf_counter(), ""
        try:
            with span(f"invoke_agent {labels.model}", attributes=_told("invoke_agent", labels)):
                yield
        except BaseException as failure:
            error = _error_type(failure)
            raise
        finally:
            self._measures.ran(labels, time.perf_counter() - begun, error)

    def stood_in(self, model: str, successor: str, error: str) -> None:
        """*successor* answers because *model* has failed with *error*."""
        self._measures.stood_in(model, successor, error)

    def models(self) -> "ModelWatch":
        """The callbacks of one run."""
        return ModelWatch(self._measures, with_content=self._with_content)

    def tools(self) -> "ToolWatch":
        """The middleware of one agent; it stands outermost."""
        return ToolWatch(self._measures, with_content=self._with_content)


@dataclass(slots=True)
class _Asked:
    """A model that is being asked."""

    labels: Labels
    messages: list[BaseMessage]
    span: Span
    begun: float
    first: bool = False


class ModelWatch(BaseCallbackHandler):
    """Sees every answer of every model in a run, and every step of the graph."""

    run_inline = True  # within the run's own task: where it stands in the trace is known there

    def __init__(self, measures: Measures, *, with_content: bool) -> None:
        self._measures = measures
        self._with_content = with_content
        self._asked: dict[UUID, _Asked] = {}
        self._nodes: dict[UUID, tuple[str, float]] = {}

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        found = metadata or {}
        labels = Labels(
            **{
                name: found[key]
                for name, key in (("provider", PROVIDER_KEY), ("model", MODEL_KEY))
                if key in found
            }
        )
        asking = begin(f"chat {labels.model}", Kind.CLIENT, _told("chat", labels))
        if self._with_content:
            asking.set({"gen_ai.input.messages": _written(messages[0])})
        self._asked[run_id] = _Asked(labels, messages[0], asking, time.perf_counter())

    def on_llm_new_token(
        self,
        token: str | list[str | dict[str, Any]],  # noqa: ARG002
        *,
        run_id: UUID,
        **_: Any,
    ) -> None:
        asked = self._asked.get(run_id)
        if asked is not None and not asked.first:
            asked.first = True
            self._measures.began(asked.labels, time.perf_counter() - asked.begun)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        asked = self._asked.pop(run_id, None)
        if asked is None:
            return
        made = response.generations[0][0]
        answer = made.message if isinstance(made, ChatGeneration) else AIMessage("")
        if not isinstance(answer, AIMessage):
            answer = AIMessage("")
        prompt, written = spent(asked.messages, answer)
        took = time.perf_counter() - asked.begun
        self._measures.answered(asked.labels, took, "", prompt, written)
        told = _line(asked.labels, took) | {"input_tokens": prompt, "output_tokens": written}
        _log.info("the model %s answered", asked.labels.model, extra={"fields": told})
        asked.span.set({"gen_ai.usage.input_tokens": prompt, "gen_ai.usage.output_tokens": written})
        if self._with_content:
            asked.span.set({"gen_ai.output.messages": _written([answer])})
        asked.span.end()

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        asked = self._asked.pop(run_id, None)
        if asked is None:
            return
        named, took = _error_type(error), time.perf_counter() - asked.begun
        self._measures.answered(asked.labels, took, named, 0, 0)
        told = _line(asked.labels, took) | {"error": named}
        _log.warning("the model %s failed", asked.labels.model, extra={"fields": told})
        asked.span.fail(named)
        asked.span.end()

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,  # noqa: ARG002
        inputs: Any,  # noqa: ARG002
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **_: Any,
    ) -> None:
        # Whatever a node calls carries the node's name too, but not as its own.
        if name is not None and name == (metadata or {}).get("langgraph_node"):
            self._nodes[run_id] = (name, time.perf_counter())

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:  # noqa: ARG002
        self._stepped(run_id, "")

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        self._stepped(run_id, _error_type(error))

    def _stepped(self, run_id: UUID, error: str) -> None:
        if (node := self._nodes.pop(run_id, None)) is not None:
            name, begun = node
            self._measures.stepped(name, time.perf_counter() - begun, error)


class ToolWatch(AgentMiddleware[AgentState[Any], Flight]):
    """Sees every call of a tool, also those that are refused."""

    def __init__(self, measures: Measures, *, with_content: bool) -> None:
        super().__init__()
        self._measures = measures
        self._with_content = with_content

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[Any]],
    ) -> ToolMessage:
        flight: Any = request.runtime.context  # typed as None where no graph is seen
        tool, error = known(request.tool_call["name"], flight.tools), ""
        begun = time.perf_counter()
        try:
            with span(f"execute_tool {tool}", attributes=tool_attributes(tool)) as using:
                message: ToolMessage = await handler(request)
                if message.status == "error":
                    error = TOOL_FAILED
                    using.fail(error)
                if self._with_content:
                    using.set(_content(request.tool_call["args"], message))
        except BaseException as failure:
            error = _error_type(failure)
            raise
        finally:
            self._measures.used(tool, time.perf_counter() - begun, error)
        return message


def _line(labels: Labels, took: float) -> dict[str, Value]:
    """What the log says of an answer: never what was said."""
    return {
        "provider": labels.provider,
        "model": labels.model,
        "took_ms": round(took * 1000, 2),
    }


def _told(operation: str, labels: Labels) -> dict[str, Value]:
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": labels.provider,
        "gen_ai.request.model": labels.model,
    }


def _error_type(error: BaseException) -> str:
    """A name out of a small set: the outcome's code, or the class."""
    return error.code if isinstance(error, ServiceError) else type(error).__name__


def _written(messages: list[BaseMessage]) -> str:
    roles = {"human": "user", "ai": "assistant"}
    shown = [
        {
            "role": roles.get(message.type, message.type),
            "parts": [{"type": "text", "content": message.text}],
        }
        for message in messages
    ]
    return json.dumps(shown, ensure_ascii=False)


def _content(arguments: Mapping[str, Any], message: ToolMessage) -> dict[str, Value]:
    return {
        "gen_ai.tool.call.arguments": json.dumps(arguments, ensure_ascii=False, default=str),
        "gen_ai.tool.call.result": message.text,
    }
