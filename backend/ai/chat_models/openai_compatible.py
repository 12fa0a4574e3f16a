"""OpenAI, and every server that speaks its language."""

from typing import Any

import httpx2
import openai
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI, StreamChunkTimeoutError
from langchain_openai.chat_models.base import BaseChatOpenAI

from backend.ai.chat_models.addresses import Address
from backend.ai.chat_models.errors import ModelTimeout, ModelUnavailable, refusal
from backend.ai.chat_models.settings import ModelSettings
from backend.ai.chat_models.watched import FINISH_REASON, Watched
from backend.chassis.web.problems import ServiceError

# Servers of one's own want no key, but the client insists on sending one.
_NO_KEY = "none"


class _OpenAI(Watched):
    def failure(self, error: Exception) -> ServiceError | None:
        match error:
            case openai.APITimeoutError() | httpx2.TimeoutException() | StreamChunkTimeoutError():
                return ModelTimeout()
            case openai.APIStatusError():
                return refusal(error.status_code)
            case openai.APIError() | httpx2.TransportError():
                return ModelUnavailable()
            case _:
                return None

    def finish_reason(self, metadata: dict[str, Any]) -> str | None:
        return metadata.get(FINISH_REASON)


class OpenAIModel(_OpenAI, ChatOpenAI):
    """OpenAI itself."""


class CompatibleModel(_OpenAI, BaseChatOpenAI):
    """Everyone else: ChatOpenAI says max_completion_tokens, which many servers do not know."""


def open_model(address: Address, settings: ModelSettings) -> BaseChatModel:
    """The model at *address*, which tells what it used also while it streams."""
    kind = OpenAIModel if address.provider == "openai" else CompatibleModel
    return kind(
        model=address.model,
        base_url=address.base_url,
        api_key=lambda: address.key or _NO_KEY,
        timeout=settings.timeout.total_seconds(),
        stream_chunk_timeout=settings.timeout.total_seconds(),
        # Where another model can answer, that is quicker than to insist.
        max_retries=0 if settings.fallback else 1,
        stream_usage=True,
    )
