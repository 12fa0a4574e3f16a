"""Anthropic models, over the Anthropic API."""

from typing import Any, Final

import anthropic
import httpx2
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from backend.ai.chat_models.checked_chat_model import CheckedChatModel
from backend.ai.chat_models.errors import ModelTimeout, ModelUnavailable, error_for_status
from backend.ai.chat_models.model_address import ModelAddress
from backend.ai.chat_models.settings import ModelSettings
from backend.chassis.web.problems import ServiceError

# OpenAI's finish reason by Anthropic's stop reason.
_FINISH_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_MAX_TEMPERATURE: Final = 1.0


class AnthropicModel(CheckedChatModel, ChatAnthropic):
    """A checked chat model of Anthropic."""

    def translate_error(self, error: Exception) -> ServiceError | None:
        match error:
            case anthropic.APITimeoutError() | httpx2.TimeoutException():
                return ModelTimeout()
            case anthropic.APIStatusError() if error.status_code >= 400:
                return error_for_status(error.status_code)
            case anthropic.APIError() | httpx2.TransportError():
                return ModelUnavailable()
            case _:
                return None

    def get_finish_reason(self, metadata: dict[str, Any]) -> str | None:
        reason = metadata.get("stop_reason")
        return None if reason is None else _FINISH_REASONS.get(reason, "stop")

    def _get_request_payload(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if (temperature := kwargs.get("temperature")) is not None:
            kwargs["temperature"] = min(temperature, _MAX_TEMPERATURE)
        payload: dict[str, Any] = super()._get_request_payload(*args, **kwargs)
        return payload


def open_model(address: ModelAddress, settings: ModelSettings) -> BaseChatModel:
    """Return the Anthropic model at *address*."""
    return AnthropicModel(
        model_name=address.model,
        base_url=address.base_url,
        api_key=SecretStr(address.key or ""),
        timeout=settings.timeout.total_seconds(),
        chunk_timeout_seconds=settings.timeout.total_seconds(),
        max_retries=settings.max_retries,
        stop=None,
    )
