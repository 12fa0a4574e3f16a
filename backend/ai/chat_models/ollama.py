"""Ollama by its own interface: its OpenAI one cuts long conversations without a word."""

from typing import Any

import httpx
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_ollama import ChatOllama
from ollama import RequestError, ResponseError
from pydantic import ValidationError

from backend.ai.chat_models.addresses import Address
from backend.ai.chat_models.errors import (
    ModelMisbehaved,
    ModelTimeout,
    ModelUnavailable,
    refusal,
)
from backend.ai.chat_models.settings import ModelSettings
from backend.ai.chat_models.watched import Watched
from backend.chassis.web.problems import ServiceError


class OllamaModel(Watched, ChatOllama):
    """One of Ollama's models."""

    def failure(self, error: Exception) -> ServiceError | None:
        match error:
            case httpx.TimeoutException():
                return ModelTimeout()
            case ResponseError() if error.status_code >= 400:
                return refusal(error.status_code)
            case ResponseError() | RequestError() | ConnectionError() | httpx.TransportError():
                return ModelUnavailable()
            case ValidationError() | OutputParserException() | ValueError():
                return ModelMisbehaved("The model's server sent something that is no answer.")
            case _:
                return None

    def finish_reason(self, metadata: dict[str, Any]) -> str | None:
        return metadata.get("done_reason")

    def _chat_params(
        self, messages: list[BaseMessage], stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        # Ollama takes what a caller chooses among its options, and under names of its own.
        chosen = {
            "num_predict": kwargs.pop("max_tokens", None),
            "temperature": kwargs.pop("temperature", None),
        }
        kwargs.pop("tool_choice", None)
        params = super()._chat_params(messages, stop, **kwargs)
        params["options"] |= {name: value for name, value in chosen.items() if value is not None}
        return params


def open_model(address: Address, settings: ModelSettings) -> BaseChatModel:
    """The model at *address*, with a context window that holds a conversation."""
    headers = {"Authorization": f"Bearer {address.key}"} if address.key else {}
    return OllamaModel(
        model=address.model,
        base_url=address.base_url,
        num_ctx=settings.context_of(address),
        client_kwargs={"timeout": settings.timeout.total_seconds(), "headers": headers},
    )
