"""LangChain chat model for the local model: a small model behind a planner.

A model of this size calls tools correctly only if its output is restricted to a call by a JSON
schema, and if the prompt contains examples for each tool. Requests that the planner can handle
with certainty are not sent to it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import agenerate_from_stream
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic_core import from_json

from backend.ai.chat_models import InvalidModelResponse
from backend.ai.chat_models.checked_chat_model import FINISH_REASON
from backend.ai.prompt_framing import frame_untrusted_text
from backend.services.agent.engine.chat_models.planner import (
    CompletedToolCall,
    OfferedTool,
    PlannedToolCall,
    Planner,
)
from backend.services.agent.engine.chat_models.planner_chat_model import PlannerChatModel
from backend.services.agent.engine.chat_models.rule_based_chat_model import (
    parse_current_request,
    parse_tool_choice,
    to_tool_call_chunks,
)
from backend.services.agent.engine.prompts import (
    ANSWER_DIRECTLY,
    ANSWER_FROM_CHUNKS,
    CHOOSE_TOOL,
    SMALL_TALK,
)
from backend.services.agent.model import REQUEST_PLACEHOLDER, Chunk

_MAX_CALL_TOKENS: Final = 256
_MAX_CHUNKS: Final = 4
_MAX_CHUNK_CHARACTERS: Final = 1_500
_MAX_HISTORY_MESSAGES: Final = 6


class LocalChatModel(PlannerChatModel):
    """Applies the rules of *planner* first, then calls *inner*, the local model's server."""

    inner: BaseChatModel

    @property
    def _llm_type(self) -> str:
        return "embedded-local"

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        *,
        tools: Sequence[OfferedTool] = (),
        tool_choice: str | dict[str, Any] | bool | None = None,
        **settings: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        planner: Planner = self.planner
        request, previous_request, completed = parse_current_request(messages)
        request = planner.resolve_references(request, previous_request)
        if tools and not completed and tool_choice != "none":
            required, tool_name = parse_tool_choice(tool_choice)
            allowed_tools = [tool for tool in tools if tool_name in {None, tool.name}]
            calls, response = await self.choose_tool_calls(
                messages, request, allowed_tools, required=required
            )
            if calls:
                yield _to_call_chunk(calls, response)
                return
        if (answer := planner.direct_answer(request, completed)) is not None:
            yield _to_text_chunk(answer)
            return
        if completed:
            prompt = _build_answer_prompt(messages, request, completed)
        else:
            prompt = [SystemMessage(SMALL_TALK), *_get_recent_messages(messages)]
        # Call the method below LangChain's callbacks: they would receive every token twice.
        async for chunk in self.inner._astream(prompt, stop, **settings):
            yield chunk

    async def choose_tool_calls(
        self,
        messages: Sequence[BaseMessage],
        request: str,
        tools: Sequence[OfferedTool],
        *,
        required: bool,
    ) -> tuple[Sequence[PlannedToolCall], BaseMessage | None]:
        """Return the calls to make, and the local model's response if it was called."""
        planner: Planner = self.planner
        if calls := planner.certain_tool_calls(request, tools):
            return calls, None
        if not required and planner.direct_answer(request, []) is not None:
            return (), None
        try:
            result = await self.inner._agenerate(
                _build_choice_prompt(messages, tools),
                temperature=0,
                max_tokens=_MAX_CALL_TOKENS,
                extra_body={"json_schema": _build_choice_schema(tools, required=required)},
            )
        except InvalidModelResponse:
            # The schema of a third-party tool can use features that the server does not support.
            return planner.choose_tool_calls(request, tools, required=required), None
        response = result.generations[0].message
        try:
            call = from_json(response.text, allow_inf_nan=False)
            name, arguments = call["tool"], call["arguments"]
        except (ValueError, KeyError, TypeError):  # the output ended at the token limit
            return planner.choose_tool_calls(request, tools, required=required), response
        if name == ANSWER_DIRECTLY:
            return (), response
        return [PlannedToolCall(name, arguments)], response

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ChatResult:
        return asyncio.run(self._agenerate(messages, stop, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))


def _build_choice_schema(tools: Sequence[OfferedTool], *, required: bool) -> dict[str, Any]:
    """Return a JSON schema that only a call of one of *tools* matches.

    Unless a call is *required*, the call of ANSWER_DIRECTLY without arguments matches too.
    """
    choices = [(tool.name, dict(tool.parameters)) for tool in tools]
    if not required:
        choices.append((ANSWER_DIRECTLY, {"type": "object", "properties": {}}))
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {"tool": {"const": name}, "arguments": arguments},
                "required": ["tool", "arguments"],
            }
            for name, arguments in choices
        ]
    }


def _build_choice_prompt(
    messages: Sequence[BaseMessage], tools: Sequence[OfferedTool]
) -> list[BaseMessage]:
    """Return the instructions, the examples of *tools* as a conversation, and the request."""
    descriptions = "\n".join(f"{tool.name}: {tool.description}" for tool in tools)
    prompt: list[BaseMessage] = [SystemMessage(f"{CHOOSE_TOOL}\nTools:\n{descriptions}")]
    for tool in tools:
        for example in tool.examples:
            arguments = {
                name: example.utterance if value == REQUEST_PLACEHOLDER else value
                for name, value in example.arguments.items()
            }
            call = {"tool": tool.name, "arguments": arguments}
            prompt += [HumanMessage(example.utterance), AIMessage(json.dumps(call))]
    return [*prompt, *_get_recent_messages(messages)]


def _build_answer_prompt(
    messages: Sequence[BaseMessage], request: str, completed: Sequence[CompletedToolCall]
) -> list[BaseMessage]:
    """Return the prompt that answers *request* from the chunks of the *completed* calls."""
    chunks = [chunk for call in completed for chunk in call.chunks][:_MAX_CHUNKS]
    framed = "\n\n".join(_frame_chunk(chunk) for chunk in chunks)
    question = f"{framed}\n\n{ANSWER_FROM_CHUNKS}\n\nQuestion: {request}"
    return [*_get_system_message(messages), HumanMessage(question)]


def _frame_chunk(chunk: Chunk) -> str:
    return frame_untrusted_text("passage", chunk.text[:_MAX_CHUNK_CHARACTERS])


def _get_recent_messages(messages: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
    """Return the last messages of user and assistant that have text, without tool messages."""
    conversation = [
        message for message in messages if isinstance(message, HumanMessage | AIMessage)
    ]
    return [message for message in conversation if message.text][-_MAX_HISTORY_MESSAGES:]


def _get_system_message(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    first = messages[0]
    return [first] if isinstance(first, SystemMessage) else []


def _to_call_chunk(
    calls: Sequence[PlannedToolCall], response: BaseMessage | None
) -> ChatGenerationChunk:
    message = AIMessageChunk(
        content="",
        tool_call_chunks=to_tool_call_chunks(calls),
        response_metadata={FINISH_REASON: "tool_calls"},
        usage_metadata=response.usage_metadata if isinstance(response, AIMessage) else None,
        chunk_position="last",
    )
    return ChatGenerationChunk(message=message)


def _to_text_chunk(text: str) -> ChatGenerationChunk:
    message = AIMessageChunk(
        content=text, response_metadata={FINISH_REASON: "stop"}, chunk_position="last"
    )
    return ChatGenerationChunk(message=message)
