"""Anthropic's models by Anthropic's own interface."""

from typing import Any, Final

import anthropic
import httpx2
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from backend.ai.chat_models.addresses import Address
from backend.ai.chat_models.errors import ModelTimeout, ModelUnavailable, refusal
from backend.ai.chat_models.settings import ModelSettings
from backend.ai.chat_models.watched import Watched
from backend.chassis.web.problems import ServiceError

_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_HIGHEST_TEMPERATURE: Final = 1.0


class AnthropicModel(Watched, ChatAnthropic):
    """One of Anthropic's models."""

    def failure(self, error: Exception) -> ServiceError | None:
        match error:
            case anthropic.APITimeoutError() | httpx2.TimeoutException():
                return ModelTimeout()
            case anthropic.APIStatusError() if error.status_code >= 400:
                return refusal(error.status_code)
            case anthropic.APIError() | httpx2.TransportError():
                return ModelUnavailable()
            case _:
                return None

    def finish_reason(self, metadata: dict[str, Any]) -> str | None:
        reason = metadata.get("stop_reason")
        return None if reason is None else _REASONS.get(reason, "stop")

    def _get_request_payload(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if (temperature := kwargs.get("temperature")) is not None:
            kwargs["temperature"] = min(temperature, _HIGHEST_TEMPERATURE)
        payload: dict[str, Any] = super()._get_request_payload(*args, **kwargs)
        return payload


def open_model(address: Address, settings: ModelSettings) -> BaseChatModel:
    """The model at *address*."""
    return AnthropicModel(
        model_name=address.model,
        base_url=address.base_url,
        api_key=SecretStr(address.key or ""),
        timeout=settings.timeout.total_seconds(),
        max_retries=0 if settings.fallback else 1,
        stop=None,
    )
