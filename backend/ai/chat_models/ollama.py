"""Ollama models, over Ollama's native API.

Ollama's OpenAI-compatible API truncates long conversations silently.
"""

from typing import Any

import httpx
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_ollama import ChatOllama
from ollama import RequestError, ResponseError
from pydantic import ValidationError

from backend.ai.chat_models.checked_chat_model import CheckedChatModel
from backend.ai.chat_models.errors import (
    InvalidModelResponse,
    ModelTimeout,
    ModelUnavailable,
    error_for_status,
)
from backend.ai.chat_models.model_address import ModelAddress
from backend.ai.chat_models.settings import ModelSettings
from backend.chassis.web.problems import ServiceError


class OllamaModel(CheckedChatModel, ChatOllama):
    """A checked chat model of an Ollama server."""

    def translate_error(self, error: Exception) -> ServiceError | None:
        match error:
            case httpx.TimeoutException():
                return ModelTimeout()
            case ResponseError() if error.status_code >= 400:
                return error_for_status(error.status_code)
            case ResponseError() | RequestError() | ConnectionError() | httpx.TransportError():
                return ModelUnavailable()
            case ValidationError() | OutputParserException() | ValueError():
                return InvalidModelResponse("The model server sent a response that is not valid.")
            case _:
                return None

    def get_finish_reason(self, metadata: dict[str, Any]) -> str | None:
        return metadata.get("done_reason")

    def _chat_params(
        self, messages: list[BaseMessage], stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        # Ollama expects these parameters under its own names in `options`.
        options = {
            "num_predict": kwargs.pop("max_tokens", None),
            "temperature": kwargs.pop("temperature", None),
        }
        kwargs.pop("tool_choice", None)
        params = super()._chat_params(messages, stop, **kwargs)
        params["options"] |= {name: value for name, value in options.items() if value is not None}
        return params


def open_model(address: ModelAddress, settings: ModelSettings) -> BaseChatModel:
    """Return the Ollama model at *address*, with a context window that fits a conversation."""
    headers = {"Authorization": f"Bearer {address.key}"} if address.key else {}
    return OllamaModel(
        model=address.model,
        base_url=address.base_url,
        chunk_timeout_seconds=settings.timeout.total_seconds(),
        num_ctx=settings.get_context_tokens(address),
        client_kwargs={"timeout": settings.timeout.total_seconds(), "headers": headers},
    )
