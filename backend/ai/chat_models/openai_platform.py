"""OpenAI's own models.

The integration of LangChain knows which of them need the Responses API, or accept no temperature.
"""

from typing import Final

import httpx2
import openai
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI

from backend.ai.chat_models.checked_chat_model import CheckedChatModel
from backend.ai.chat_models.errors import ModelTimeout, ModelUnavailable, error_for_status
from backend.ai.chat_models.model_address import ModelAddress
from backend.ai.chat_models.settings import ModelSettings
from backend.chassis.web.problems import ServiceError

# The client refuses to send a request without a key.
_PLACEHOLDER_API_KEY: Final = "none"


class OpenAIModel(CheckedChatModel, ChatOpenAI):
    """A checked chat model of OpenAI."""

    def translate_error(self, error: Exception) -> ServiceError | None:
        match error:
            case openai.APITimeoutError() | httpx2.TimeoutException():
                return ModelTimeout()
            case openai.APIStatusError():
                return error_for_status(error.status_code)
            case openai.APIError() | httpx2.TransportError():
                return ModelUnavailable()
            case _:
                return None


def open_model(address: ModelAddress, settings: ModelSettings) -> BaseChatModel:
    """Return the model at *address*. Streamed responses also report the token usage."""
    return OpenAIModel(
        model=address.model,
        base_url=address.base_url,
        api_key=lambda: address.key or _PLACEHOLDER_API_KEY,
        timeout=settings.timeout.total_seconds(),
        chunk_timeout_seconds=settings.timeout.total_seconds(),
        stream_chunk_timeout=None,  # chunk_timeout_seconds replaces it
        max_retries=settings.max_retries,
        stream_usage=True,
    )
