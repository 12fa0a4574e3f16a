"""What LangChain's chat models leave open, closed for every provider alike.

A stream that breaks off looks to it like an answer, and it completes broken JSON by guessing:
half a tool call would run with half its arguments.
"""

import json
from abc import abstractmethod
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from backend.ai.chat_models.errors import ModelUnavailable, named_failures
from backend.chassis.web.problems import ServiceError

MALFORMED: Final = "malformed_calls"
FINISH_REASON: Final = "finish_reason"


class Watched(BaseChatModel):
    """Stands before a provider's class: names its failures, and sees that answers end.

    Every answer ends with `finish_reason` in its metadata, in OpenAI's words, and with MALFORMED
    if the arguments of a tool call are no JSON object.
    """

    @abstractmethod
    def failure(self, error: Exception) -> ServiceError | None:
        """What *error* means; None if it is not the server's."""

    @abstractmethod
    def finish_reason(self, metadata: dict[str, Any]) -> str | None:
        """Why the model stopped, in OpenAI's words, by the metadata of a chunk or an answer."""

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        watch = _Watch(self)
        with named_failures(self.failure):
            for chunk in super()._stream(*args, **kwargs):
                yield watch.seen(chunk)
        yield watch.end()

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        watch = _Watch(self)
        with named_failures(self.failure):
            async for chunk in super()._astream(*args, **kwargs):
                yield watch.seen(chunk)
        yield watch.end()

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        with named_failures(self.failure):
            # The provider's comes next in line, not the abstract one.
            return self._ended(super()._generate(*args, **kwargs))  # type: ignore[safe-super]

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        with named_failures(self.failure):
            return self._ended(await super()._agenerate(*args, **kwargs))

    def _ended(self, result: ChatResult) -> ChatResult:
        """*result* as a stream would have told it."""
        for generation in result.generations:
            metadata = generation.message.response_metadata
            reason = self.finish_reason({**(generation.generation_info or {}), **metadata})
            if reason is None:
                raise ModelUnavailable(BROKEN_OFF)
            metadata[FINISH_REASON] = reason
        return result


BROKEN_OFF: Final = "The model's answer broke off."


class _Watch:
    """One stream: what its tool calls say so far, and whether it has told why it ends."""

    def __init__(self, model: Watched) -> None:
        self._model = model
        self._arguments: dict[object, str] = defaultdict(str)
        self._reason: str | None = None

    def seen(self, chunk: ChatGenerationChunk) -> ChatGenerationChunk:
        """*chunk*, without the provider's own words for why it ended: `end` tells that."""
        message, told = chunk.message, dict(chunk.generation_info or {})
        metadata = {**told, **message.response_metadata}
        self._reason = self._model.finish_reason(metadata) or self._reason
        told.pop(FINISH_REASON, None)
        message.response_metadata.pop(FINISH_REASON, None)
        chunk.generation_info = told
        if isinstance(message, AIMessageChunk):
            message.chunk_position = None
            for piece in message.tool_call_chunks:
                # Ollama sends calls whole and does not number them.
                call = piece["id"] if piece["index"] is None else piece["index"]
                self._arguments[call] += piece["args"] or ""
        return chunk

    def end(self) -> ChatGenerationChunk:
        """The last chunk; ModelUnavailable if the stream broke off."""
        if self._reason is None:
            raise ModelUnavailable(BROKEN_OFF)
        metadata = {FINISH_REASON: self._reason}
        if not all(_is_object(text) for text in self._arguments.values()):
            metadata[MALFORMED] = "yes"
        return ChatGenerationChunk(
            message=AIMessageChunk(content="", response_metadata=metadata, chunk_position="last")
        )


def _is_object(text: str) -> bool:
    if not text:  # how some servers call a tool without arguments
        return True
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
