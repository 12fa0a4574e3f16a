"""Models of servers with an OpenAI-compatible API."""

from typing import Final

import httpx
from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from backend.ai.chat_models.chat_completions_model import ChatCompletionsModel
from backend.ai.chat_models.checked_chat_model import CheckedChatModel
from backend.ai.chat_models.errors import ModelTimeout, ModelUnavailable
from backend.ai.chat_models.model_address import ModelAddress
from backend.ai.chat_models.settings import ModelSettings
from backend.chassis.web.problems import ServiceError

# Self-hosted servers often need no API key, but some require the header.
_PLACEHOLDER_API_KEY: Final = "none"


class OpenAICompatibleModel(CheckedChatModel, ChatCompletionsModel):
    """A checked chat model of an OpenAI-compatible server."""

    def translate_error(self, error: Exception) -> ServiceError | None:
        match error:
            case httpx.TimeoutException():
                return ModelTimeout()
            case httpx.HTTPError() | httpx.StreamError():
                return ModelUnavailable()
            case _:
                return None


def open_model(address: ModelAddress, settings: ModelSettings) -> BaseChatModel:
    """Return the model at *address*. Streamed responses also report the token usage."""
    return OpenAICompatibleModel(
        model_name=address.model,
        base_url=address.base_url,
        api_key=SecretStr(address.key or _PLACEHOLDER_API_KEY),
        timeout=httpx.Timeout(settings.timeout.total_seconds()),
        chunk_timeout_seconds=settings.timeout.total_seconds(),
        max_retries=settings.max_retries,
    )
