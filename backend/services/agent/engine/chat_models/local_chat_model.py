"""LangChain chat model for small models: a planner decides, and the model writes.

A small model on a CPU reads about fifty tokens a second, and calls tools correctly only if a JSON
schema restricts its output. So rules choose the tools, prompts contain only the best sentences of
the documents, and the model is asked for a call only if other tools than the agent's own fit.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Any, Final

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import agenerate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from backend.ai.chat_models import InvalidModelResponse
from backend.ai.chat_models.checked_chat_model import FINISH_REASON
from backend.ai.chat_models.json_objects import parse_json_object
from backend.ai.chat_models.local_server import PROMPT_PROGRESS
from backend.ai.chat_models.measured_speed import MeasuredSpeed
from backend.services.agent.engine.chat_models import compact_prompts, document_summary
from backend.services.agent.engine.chat_models.planner import (
    CompletedToolCall,
    ModelPlanner,
    OfferedTool,
    PlannedToolCall,
    RequestKind,
)
from backend.services.agent.engine.chat_models.planner_chat_model import PlannerChatModel
from backend.services.agent.engine.chat_models.rule_based_chat_model import (
    parse_current_request,
    parse_tool_choice,
    to_tool_call_chunks,
)
from backend.services.agent.engine.model_settings import DEFAULT_MAX_TOKENS
from backend.services.agent.engine.prompts import ANSWER_DIRECTLY
from backend.services.agent.model import Chunk, RunProgress

_MAX_CALL_TOKENS: Final = 256
_MAX_CLASS_TOKENS: Final = 12
_MAX_NOTE_TOKENS: Final = 110
# Limits of a response in tokens. The answer to a question has up to three sentences.
_MAX_ANSWER_TOKENS: Final = 220
_MAX_TEXT_TOKENS: Final = 700
_MAX_SUMMARY_TOKENS: Final = 320
# Tokens that are read and written in the longest run, which summarizes a document in parts.
_MAX_RUN_TOKENS: Final = (2_500, 900)
_MAX_RUN_SECONDS: Final = 900.0


class LocalChatModel(PlannerChatModel):
    """Applies the rules of *planner* first, then calls *inner*, the model's server.

    Attributes:
        speed: measured speed of the server.
        supports_schemas: whether the server restricts a response to a `json_schema`.
    """

    inner: BaseChatModel
    speed: Any = None  # MeasuredSpeed, which pydantic cannot validate
    supports_schemas: bool = True

    @property
    def _llm_type(self) -> str:
        return "embedded-local"

    def get_run_timeout(self, configured: timedelta) -> timedelta:
        """Return the time limit of a run: *configured*, or more if the measured speed needs it."""
        seconds = self._get_speed().compute_timeout_seconds(*_MAX_RUN_TOKENS)
        return max(configured, timedelta(seconds=min(seconds, _MAX_RUN_SECONDS)))

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
        request, previous_request, completed = parse_current_request(messages)
        if not tools and not completed:
            # A prompt that is complete: of a client, or of another part of the agent.
            async for chunk in self._stream_response(messages, stop, settings):
                yield chunk
            return
        turn = _Turn(self.planner, messages, request, previous_request, completed)
        if tools and tool_choice != "none":
            required, tool_name = parse_tool_choice(tool_choice)
            allowed_tools = [tool for tool in tools if tool_name in {None, tool.name}]
            calls, usage = await self._choose_next_calls(turn, allowed_tools, required=required)
            if calls:
                yield _to_call_chunk(calls, usage)
                return
        async for chunk in self._answer(turn, stop, settings):
            yield chunk

    async def choose_tool_calls(
        self,
        messages: Sequence[BaseMessage],
        request: str,
        tools: Sequence[OfferedTool],
        *,
        required: bool,
    ) -> tuple[Sequence[PlannedToolCall], UsageMetadata | None]:
        """Return the first calls for *request*, and the usage of the model if it chose them."""
        turn = _Turn(self.planner, messages, request, "", [])
        return await self._choose_next_calls(turn, tools, required=required)

    async def _choose_next_calls(
        self, turn: "_Turn", tools: Sequence[OfferedTool], *, required: bool
    ) -> tuple[Sequence[PlannedToolCall], UsageMetadata | None]:
        planner = turn.planner
        if not turn.completed:
            calls = planner.certain_tool_calls(turn.resolved_request, tools)
            if calls:
                return calls, None
        if turn.kind in {"summary", "document writing"}:
            calls = planner.choose_document_calls(
                turn.kind, turn.request, turn.previous_request, turn.completed, tools
            )
            if calls:
                return calls, None
        if turn.completed or (not required and turn.is_small_talk):
            return (), None
        model_tools = planner.select_model_tools(turn.resolved_request, tools, required=required)
        if model_tools and self.supports_schemas:
            return await self._choose_with_model(turn, model_tools, tools, required=required)
        if not required and turn.kind in {"writing", "revision"}:
            return (), None
        return planner.choose_tool_calls(turn.resolved_request, tools, required=required), None

    async def _choose_with_model(
        self,
        turn: "_Turn",
        candidates: Sequence[OfferedTool],
        tools: Sequence[OfferedTool],
        *,
        required: bool,
    ) -> tuple[Sequence[PlannedToolCall], UsageMetadata | None]:
        """Let the model choose among *candidates*; the planner decides if it chooses none."""
        planned: Sequence[PlannedToolCall] = ()
        if required or turn.kind not in {"writing", "revision"}:
            planned = turn.planner.choose_tool_calls(
                turn.resolved_request, tools, required=required
            )
        prompt = compact_prompts.build_choice_prompt(
            turn.messages, turn.resolved_request, candidates
        )
        try:
            text, usage = await self._call_model(
                prompt,
                _MAX_CALL_TOKENS,
                extra_body={"json_schema": _build_choice_schema(candidates, required=required)},
            )
        except InvalidModelResponse:
            # The schema of a third-party tool can use features that the server does not support.
            return planned, None
        try:
            call = parse_json_object(text)
            name, arguments = call["tool"], call["arguments"]
        except (ValueError, KeyError, TypeError):  # the output ended at the token limit
            return planned, usage
        if name == ANSWER_DIRECTLY:
            names = {tool.name for tool in candidates}
            return [call for call in planned if call.tool not in names], usage
        return [PlannedToolCall(name, arguments)], usage

    async def _answer(
        self, turn: "_Turn", stop: list[str] | None, settings: dict[str, Any]
    ) -> AsyncGenerator[ChatGenerationChunk]:
        """Yield the answer to the request of *turn*, whose tools have been called."""
        answer = turn.find_direct_answer()
        if answer is not None and turn.may_be_writing and await self._is_creative(turn.request):
            turn.kind, answer = "writing", None
        if answer is not None:
            yield _to_text_chunk(answer)
            return
        if turn.kind == "summary":
            stream = self._summarize(turn, stop, settings)
        else:
            prompt, max_tokens = turn.build_prompt()
            stream = self._stream_response(prompt, stop, _limit_tokens(settings, max_tokens))
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _is_creative(self, request: str) -> bool:
        """Return True if the model classifies *request* as one for a text of its own."""
        if not self.supports_schemas:
            return False
        schema = {"type": "object", "properties": {"kind": {"enum": ["creative", "facts"]}}}
        try:
            text, _ = await self._call_model(
                compact_prompts.build_classification_prompt(request),
                _MAX_CLASS_TOKENS,
                extra_body={"json_schema": {**schema, "required": ["kind"]}},
            )
        except InvalidModelResponse:
            return False
        return "creative" in text

    async def _summarize(
        self, turn: "_Turn", stop: list[str] | None, settings: dict[str, Any]
    ) -> AsyncGenerator[ChatGenerationChunk]:
        chunks = [chunk for call in turn.completed for chunk in call.chunks]
        document_id = chunks[-1].document_id  # the last call read the document
        chunks = [chunk for chunk in chunks if chunk.document_id == document_id]
        text = document_summary.join_chunks(chunks)
        max_tokens = document_summary.compute_reading_tokens(self._get_speed().prompt_speed)
        parts = document_summary.split_into_parts(text, max_tokens)
        usage: UsageMetadata | None = None

        async def summarize_part(prompt: list[BaseMessage]) -> str:
            nonlocal usage
            note, part_usage = await self._call_model(prompt, _MAX_NOTE_TOKENS)
            usage = part_usage if usage is None else add_usage(usage, part_usage)
            return note

        text = parts[0]
        if len(parts) > 1:
            async for step in document_summary.summarize_parts(parts, turn.request, summarize_part):
                if isinstance(step, RunProgress):
                    yield _to_progress_chunk(step)
                else:
                    text = step
        prompt = compact_prompts.build_summary_prompt(
            turn.messages, turn.request, chunks[0].filename, text
        )
        if usage is not None:
            yield ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=usage))
        settings = _limit_tokens(settings, _MAX_SUMMARY_TOKENS)
        stream = self._stream_response(prompt, stop, settings, with_progress=len(parts) == 1)
        async with aclosing(stream) as chunks_of_summary:
            async for chunk in chunks_of_summary:
                yield chunk

    async def _call_model(
        self, prompt: list[BaseMessage], max_tokens: int, **settings: Any
    ) -> tuple[str, UsageMetadata | None]:
        """Return the complete response to *prompt* and its usage.

        It is streamed: a server notices only at the next chunk that the caller has disconnected.
        """
        settings = {"temperature": 0, "max_tokens": max_tokens, **settings}
        message: AIMessageChunk | None = None
        async with aclosing(self._stream_response(prompt, None, settings)) as stream:
            async for chunk in stream:
                if isinstance(chunk.message, AIMessageChunk):
                    message = chunk.message if message is None else message + chunk.message
        if message is None:
            return "", None
        return message.text, message.usage_metadata

    async def _stream_response(
        self,
        prompt: list[BaseMessage],
        stop: list[str] | None,
        settings: dict[str, Any],
        *,
        with_progress: bool = False,
    ) -> AsyncGenerator[ChatGenerationChunk]:
        """Yield the response, and *with_progress* also how many tokens of *prompt* were read."""
        # Call the method below LangChain's callbacks: they would receive every token twice.
        async with aclosing(self.inner._astream(prompt, stop, **settings)) as stream:  # type: ignore[type-var]
            async for chunk in stream:
                progress = chunk.message.additional_kwargs.pop(PROMPT_PROGRESS, None)
                if progress is not None and with_progress:
                    yield _to_progress_chunk(RunProgress(document_summary.READING_STAGE, *progress))
                yield chunk

    def _get_speed(self) -> MeasuredSpeed:
        speed: MeasuredSpeed = getattr(self.inner, "speed", None) or MeasuredSpeed()
        return speed

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


class _Turn:
    """The current request of a conversation with the results of its tool calls.

    Attributes:
        resolved_request: the request, completed from the previous one if it is a follow-up.
        kind: how the model answers the request.
    """

    def __init__(
        self,
        planner: ModelPlanner,
        messages: Sequence[BaseMessage],
        request: str,
        previous_request: str,
        completed: Sequence[CompletedToolCall],
    ) -> None:
        self.planner = planner
        self.messages = messages
        self.request = request
        self.previous_request = previous_request
        self.completed = completed
        self.resolved_request = planner.resolve_references(request, previous_request)
        self._previous_answer = _find_previous_answer(messages)
        self.kind: RequestKind = planner.classify_request(request, self._previous_answer)

    @property
    def has_chunks(self) -> bool:
        return any(call.chunks for call in self.completed)

    @property
    def is_small_talk(self) -> bool:
        return self._get_small_talk() is not None

    @property
    def may_be_writing(self) -> bool:
        """True if only documents were searched for, and the request is not worded as a question."""
        return (
            self.kind == "question"
            and bool(self.completed)
            and self._has_only_searches
            and not self.planner.is_worded_as_question(self.request)
        )

    def find_direct_answer(self) -> str | None:
        """Return an answer that needs no model: small talk, an exact result, or nothing found."""
        if not self.completed:
            return self._get_small_talk()
        if self.planner.has_exact_answer(self.completed):
            return self.planner.compose_answer(self.resolved_request, self.completed)
        if self.kind == "question" and self._has_only_searches:
            return self.planner.direct_answer(self.resolved_request, self.completed)
        if self.kind == "summary" and not any(
            call.chunks for call in self.completed if "part" in call.arguments
        ):
            # The document was not found, or it contains no text.
            return self.planner.compose_answer(self.request, self.completed)
        return None

    def build_prompt(self) -> tuple[list[BaseMessage], int]:
        """Return the prompt of the answer and the limit of its tokens."""
        earlier = (self.previous_request, self._previous_answer) if self._previous_answer else None
        if self.kind == "revision" and earlier is not None:
            return (
                compact_prompts.build_revision_prompt(self.messages, self.request, earlier),
                _MAX_TEXT_TOKENS,
            )
        if self.kind in {"writing", "document writing"}:
            return self._build_writing_prompt(), _MAX_TEXT_TOKENS
        if not self.completed:
            return compact_prompts.build_chat_prompt(self.messages), _MAX_TEXT_TOKENS
        if not self.has_chunks:
            results = [call.content for call in self.completed]
            return (
                compact_prompts.build_result_prompt(self.messages, self.request, results),
                _MAX_ANSWER_TOKENS,
            )
        passages = self.planner.select_passages(
            self.resolved_request, self.completed, compact_prompts.MAX_PASSAGE_TOKENS
        )
        is_follow_up = self.resolved_request != self.request
        return (
            compact_prompts.build_answer_prompt(
                self.messages, self.request, passages, earlier if is_follow_up else None
            ),
            _MAX_ANSWER_TOKENS,
        )

    def _build_writing_prompt(self) -> list[BaseMessage]:
        passages: Sequence[Chunk] = ()
        if self.kind == "document writing" and self.has_chunks:
            passages = self.planner.select_passages(
                self.request, self.completed, compact_prompts.MAX_WRITING_PASSAGE_TOKENS
            )
        return compact_prompts.build_writing_prompt(self.messages, self.request, passages)

    @property
    def _has_only_searches(self) -> bool:
        # A search without hits has no chunks; other tools return text.
        return all(call.chunks or "query" in call.arguments for call in self.completed)

    def _get_small_talk(self) -> str | None:
        return self.planner.direct_answer(self.request, []) if self.kind == "question" else None


def _find_previous_answer(messages: Sequence[BaseMessage]) -> str:
    """Return the text of the assistant before the last message of the user, or ""."""
    last_request = max(
        (index for index, message in enumerate(messages) if isinstance(message, HumanMessage)),
        default=0,
    )
    answers = [
        message.text
        for message in messages[:last_request]
        if isinstance(message, AIMessage) and message.text
    ]
    return answers[-1] if answers else ""


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


def _limit_tokens(settings: dict[str, Any], max_tokens: int) -> dict[str, Any]:
    """Return *settings* with at most *max_tokens*, unless the caller set another limit."""
    requested = settings.get("max_tokens")
    if requested is None or requested == DEFAULT_MAX_TOKENS:
        return {**settings, "max_tokens": max_tokens}
    return settings


def _to_call_chunk(
    calls: Sequence[PlannedToolCall], usage: UsageMetadata | None
) -> ChatGenerationChunk:
    message = AIMessageChunk(
        content="",
        tool_call_chunks=to_tool_call_chunks(calls),
        response_metadata={FINISH_REASON: "tool_calls"},
        usage_metadata=usage,
        chunk_position="last",
    )
    return ChatGenerationChunk(message=message)


def _to_progress_chunk(progress: RunProgress) -> ChatGenerationChunk:
    fields = {"stage": progress.stage, "done": progress.done, "total": progress.total}
    message = AIMessageChunk(
        content="", additional_kwargs={document_summary.PROGRESS_KEY: [fields]}
    )
    return ChatGenerationChunk(message=message)


def _to_text_chunk(text: str) -> ChatGenerationChunk:
    message = AIMessageChunk(
        content=text, response_metadata={FINISH_REASON: "stop"}, chunk_position="last"
    )
    return ChatGenerationChunk(message=message)
