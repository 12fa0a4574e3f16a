"""Base class of the chat models: error translation and checks that a response is complete.

LangChain accepts an interrupted stream as a complete response, and it completes truncated JSON by
guessing, so that a truncated tool call would run with a part of its arguments.
"""

import asyncio
from abc import abstractmethod
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from backend.ai.chat_models.errors import ModelTimeout, ModelUnavailable, translate_errors
from backend.ai.chat_models.json_objects import parse_json_object
from backend.chassis.web.problems import ServiceError

# Keys of a message's response_metadata.
MALFORMED_TOOL_CALLS: Final = "malformed_calls"
FINISH_REASON: Final = "finish_reason"

INCOMPLETE_RESPONSE: Final = "The model's response ended before it was complete."


class CheckedChatModel(BaseChatModel):
    """Mix-in that precedes a provider's chat model class in the method resolution order.

    It translates the provider's exceptions to service errors. Every response ends with
    FINISH_REASON in its metadata, with OpenAI's values, and with MALFORMED_TOOL_CALLS if the
    arguments of a tool call are not a JSON object with finite numbers.
    """

    # Longest time between two chunks of a stream. The HTTP client's read timeout does not bound
    # this time: a server may keep the connection alive with comments.
    chunk_timeout_seconds: float

    @abstractmethod
    def translate_error(self, error: Exception) -> ServiceError | None:
        """Return the service error for *error*, or None if the model server did not cause it."""

    def get_finish_reason(self, metadata: dict[str, Any]) -> str | None:
        """Return OpenAI's finish reason from the metadata of a chunk or response, if there is one.

        The values are `stop`, `length`, `tool_calls` and `content_filter`. Classes of providers
        with other metadata override this.
        """
        reason: str | None = metadata.get(FINISH_REASON)
        return reason

    def get_chunk_timeout_seconds(
        self,
        messages: list[BaseMessage],  # noqa: ARG002 - for models whose speed varies
        settings: dict[str, Any],  # noqa: ARG002
    ) -> float:
        """Return the longest time between two chunks of the response to *messages*."""
        return self.chunk_timeout_seconds

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        checker = _StreamChecker(self)
        with translate_errors(self.translate_error):
            for chunk in super()._stream(*args, **kwargs):
                yield checker.check_chunk(chunk)
        yield checker.build_last_chunk()

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        checker = _StreamChecker(self)
        timeout_seconds = self.get_chunk_timeout_seconds(messages, kwargs)
        with translate_errors(self.translate_error):
            # The provider's class declares the method as an iterator; it is a generator.
            stream = super()._astream(messages, *args, **kwargs)
            async with aclosing(stream) as chunks:  # type: ignore[type-var]
                while True:
                    # asyncio.wait_for is not used: in Python 3.11 it loses a cancellation that
                    # arrives together with the awaited chunk (python/cpython#86296), and the
                    # connection to the model would stay open.
                    try:
                        async with asyncio.timeout(timeout_seconds):
                            chunk = await anext(chunks)
                    except StopAsyncIteration:
                        break
                    except TimeoutError as error:
                        raise ModelTimeout from error
                    yield checker.check_chunk(chunk)
        yield checker.build_last_chunk()

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        with translate_errors(self.translate_error):
            # super() is the provider's class at run time, not the abstract BaseChatModel.
            return self._check_result(super()._generate(*args, **kwargs))  # type: ignore[safe-super]

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        with translate_errors(self.translate_error):
            return self._check_result(await super()._agenerate(*args, **kwargs))

    def _check_result(self, result: ChatResult) -> ChatResult:
        """Set the finish reason in *result*, as a stream does; raise if there is none."""
        for generation in result.generations:
            metadata = generation.message.response_metadata
            reason = self.get_finish_reason({**(generation.generation_info or {}), **metadata})
            if reason is None:
                raise ModelUnavailable(INCOMPLETE_RESPONSE)
            metadata[FINISH_REASON] = reason
        return result


class _StreamChecker:
    """Collects the tool call arguments and the finish reason of one stream."""

    def __init__(self, model: CheckedChatModel) -> None:
        self._model = model
        self._arguments: dict[object, str] = defaultdict(str)
        self._finish_reason: str | None = None

    def check_chunk(self, chunk: ChatGenerationChunk) -> ChatGenerationChunk:
        """Return *chunk* without the finish reason, which only `build_last_chunk` returns."""
        message, info = chunk.message, dict(chunk.generation_info or {})
        metadata = {**info, **message.response_metadata}
        self._finish_reason = self._model.get_finish_reason(metadata) or self._finish_reason
        info.pop(FINISH_REASON, None)
        message.response_metadata.pop(FINISH_REASON, None)
        chunk.generation_info = info
        if isinstance(message, AIMessageChunk):
            message.chunk_position = None
            for piece in message.tool_call_chunks:
                # Ollama sends complete tool calls without an index.
                call = piece["id"] if piece["index"] is None else piece["index"]
                self._arguments[call] += piece["args"] or ""
        return chunk

    def build_last_chunk(self) -> ChatGenerationChunk:
        """Return the last chunk, which contains the finish reason.

        Raises:
            ModelUnavailable: the stream ended without a finish reason.
        """
        if self._finish_reason is None:
            raise ModelUnavailable(INCOMPLETE_RESPONSE)
        metadata = {FINISH_REASON: self._finish_reason}
        if not all(_is_json_object(text) for text in self._arguments.values()):
            metadata[MALFORMED_TOOL_CALLS] = "yes"
        return ChatGenerationChunk(
            message=AIMessageChunk(content="", response_metadata=metadata, chunk_position="last")
        )


def _is_json_object(text: str) -> bool:
    if not text:  # Some servers send an empty string for a call without arguments.
        return True
    try:
        parse_json_object(text)
    except ValueError:
        return False
    return True
