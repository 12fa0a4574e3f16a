"""LangChain chat model that needs no language model: it answers through a planner.

As a chat model, it uses the same code path as all other models.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    ToolMessage,
)
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from backend.services.agent.engine.chat_models.planned_responses import (
    estimate_usage,
    limit_text,
    split_words,
)
from backend.services.agent.engine.chat_models.planner import (
    CompletedToolCall,
    OfferedTool,
    PlannedToolCall,
    Planner,
)
from backend.services.agent.engine.chat_models.planner_chat_model import PlannerChatModel
from backend.services.agent.model import Chunk


class RuleBasedChatModel(PlannerChatModel):
    """Calls the tools that *planner* chooses, then returns the answer that *planner* composes."""

    model: str = "embedded-lite"

    @property
    def _llm_type(self) -> str:
        return "embedded-lite"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ChatResult:
        text, calls, finish_reason = self._respond(messages, stop, **kwargs)
        message = AIMessage(
            content=text,
            tool_calls=[_to_langchain_call(call) for call in calls],
            response_metadata={"finish_reason": finish_reason, "model_name": self.model},
            usage_metadata=_estimate_usage(messages, text, calls),
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        text, calls, finish_reason = self._respond(messages, stop, **kwargs)
        for word in split_words(text):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=word))
            if run_manager is not None:
                run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                tool_call_chunks=to_tool_call_chunks(calls),
                response_metadata={"finish_reason": finish_reason, "model_name": self.model},
                usage_metadata=_estimate_usage(messages, text, calls),
                chunk_position="last",
            )
        )

    def _respond(
        self,
        messages: Sequence[BaseMessage],
        stop: Sequence[str] | None,
        *,
        tools: Sequence[OfferedTool] = (),
        tool_choice: str | dict[str, Any] | bool | None = None,
        max_tokens: int | None = None,
        **_: Any,
    ) -> tuple[str, Sequence[PlannedToolCall], str]:
        """Return the text, the tool calls and the finish reason of the response.

        A token is a word here, for *max_tokens*.
        """
        planner: Planner = self.planner
        request, previous_request, completed = parse_current_request(messages)
        if tools and not completed and tool_choice != "none":
            required, tool_name = parse_tool_choice(tool_choice)
            allowed_tools = [tool for tool in tools if tool_name in {None, tool.name}]
            request_with_context = planner.resolve_references(request, previous_request)
            calls = planner.choose_tool_calls(
                request_with_context, allowed_tools, required=required
            )
            if calls:
                return "", calls, "tool_calls"
        text = planner.compose_answer(request, completed)
        text, finish_reason = limit_text(text, stop, max_tokens)
        return text, (), finish_reason


def parse_current_request(
    messages: Sequence[BaseMessage],
) -> tuple[str, str, list[CompletedToolCall]]:
    """Return the user's last request, the one before it, and the tool calls since the last."""
    request = previous_request = ""
    completed: list[CompletedToolCall] = []
    arguments_by_call_id: dict[str | None, Mapping[str, Any]] = {}
    for message in messages:
        if isinstance(message, HumanMessage):
            request, previous_request, completed = message.text, request, []
        elif isinstance(message, AIMessage):
            arguments_by_call_id |= {call["id"]: call["args"] for call in message.tool_calls}
        elif isinstance(message, ToolMessage):
            artifact = message.artifact if isinstance(message.artifact, Mapping) else {}
            completed.append(
                CompletedToolCall(
                    tool=message.name or "tool",
                    arguments=arguments_by_call_id.get(message.tool_call_id, {}),
                    content=message.text,
                    chunks=[Chunk(**fields) for fields in artifact.get("passages", ())],
                    failed=message.status == "error",
                    term_weights=artifact.get("term_weights", {}),
                    identifiers=artifact.get("identifiers", ()),
                )
            )
    return request, previous_request, completed


def parse_tool_choice(
    tool_choice: str | dict[str, Any] | bool | None,
) -> tuple[bool, str | None]:
    """Return whether a tool call is required, and the name of the required tool, if any."""
    if isinstance(tool_choice, dict):
        return True, (tool_choice.get("function") or {}).get("name")
    if tool_choice in {None, False, "auto", "none"}:
        return False, None
    if tool_choice in {True, "any", "required"}:
        return True, None
    return True, str(tool_choice)


def _to_langchain_call(call: PlannedToolCall) -> Any:
    return {"name": call.tool, "args": dict(call.arguments), "id": f"call_{uuid4().hex[:24]}"}


def to_tool_call_chunks(calls: Sequence[PlannedToolCall]) -> list[Any]:
    """Convert *calls* for a streamed message, each to one complete chunk."""
    return [
        tool_call_chunk(
            name=call.tool,
            args=json.dumps(call.arguments),
            id=f"call_{uuid4().hex[:24]}",
            index=index,
        )
        for index, call in enumerate(calls)
    ]


def _estimate_usage(
    messages: Sequence[BaseMessage], text: str, calls: Sequence[PlannedToolCall]
) -> UsageMetadata:
    input_characters = sum(len(message.text) for message in messages)
    input_tokens, output_tokens = estimate_usage(input_characters, text, calls)
    return UsageMetadata(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=input_tokens + output_tokens,
    )
