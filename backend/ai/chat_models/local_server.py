"""The downloaded model, behind llama.cpp's server in its own process."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from pydantic import Field, SecretStr

from backend.ai.chat_models.measured_speed import MeasuredSpeed
from backend.ai.chat_models.model_address import ModelAddress
from backend.ai.chat_models.openai_compatible import OpenAICompatibleModel
from backend.ai.chat_models.settings import ModelSettings
from backend.ai.text.token_estimates import estimate_tokens

# Key of a chunk's additional_kwargs: how many tokens of the prompt were read, and how many it has.
PROMPT_PROGRESS: Final = "prompt_progress"
_CONNECT_TIMEOUT_SECONDS: Final = 5.0
_DEFAULT_RESPONSE_TOKENS: Final = 256
# A server that sends nothing for longer does not respond, however slow the host is.
_MAX_CHUNK_SECONDS: Final = 300.0


class LocalServerModel(OpenAICompatibleModel):
    """Measures the server's speed; the time limits of calls follow from it.

    While the server reads a prompt, it reports its progress after each batch. It notices a closed
    connection when it sends the next report, so a cancelled call soon stops to compute.
    """

    speed: MeasuredSpeed = Field(default_factory=MeasuredSpeed, exclude=True)

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **settings: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        extra_body = {**settings.pop("extra_body", {}), "return_progress": True}
        stream = super()._astream(messages, *args, extra_body=extra_body, **settings)
        async with aclosing(stream) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                yield chunk

    def get_chunk_timeout_seconds(
        self, messages: list[BaseMessage], settings: dict[str, Any]
    ) -> float:
        """Return the time limit for one chunk: a call ahead of this one may take that long."""
        prompt_tokens = sum(estimate_tokens(message.text) for message in messages)
        response_tokens = settings.get("max_tokens") or _DEFAULT_RESPONSE_TOKENS
        timeout = self.speed.compute_timeout_seconds(prompt_tokens, response_tokens)
        return max(min(timeout, _MAX_CHUNK_SECONDS), self.chunk_timeout_seconds)

    def convert_document(self, document: dict[str, Any]) -> ChatGenerationChunk | None:
        if isinstance(timings := document.get("timings"), dict):
            self.speed.record_timings(timings)
        chunk = super().convert_document(document)
        progress = document.get(PROMPT_PROGRESS)
        if chunk is not None and isinstance(progress, dict):
            tokens = [progress.get("processed"), progress.get("total")]
            if all(isinstance(count, int) for count in tokens):
                chunk.message.additional_kwargs[PROMPT_PROGRESS] = tokens
        return chunk


def open_model(address: ModelAddress, settings: ModelSettings) -> BaseChatModel:
    """Return the model at *address*. Its calls have no time limit but that of their chunks."""
    return LocalServerModel(
        model_name=address.model,
        base_url=address.base_url,
        api_key=SecretStr(address.key or ""),
        timeout=httpx.Timeout(None, connect=_CONNECT_TIMEOUT_SECONDS),
        chunk_timeout_seconds=settings.timeout.total_seconds(),
        max_retries=settings.max_retries,
    )
