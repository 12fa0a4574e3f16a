"""Settings of model calls. This module does not import LangChain."""

from typing import Any, Final

from backend.services.agent.model import CompletionRequest, RunRequest

DEFAULT_MAX_TOKENS: Final = 2_048


def build_model_settings(
    request: RunRequest | CompletionRequest, remaining_tokens: int | None
) -> dict[str, Any]:
    """Return the keyword arguments of a model call.

    Its `max_tokens` is at most *remaining_tokens*; None means no limit.
    """
    max_tokens = request.max_tokens or DEFAULT_MAX_TOKENS
    if remaining_tokens is not None:
        max_tokens = max(1, min(max_tokens, remaining_tokens))
    settings: dict[str, Any] = {"max_tokens": max_tokens}
    if request.temperature is not None:
        settings["temperature"] = request.temperature
    parameters = dict(request.model_parameters)
    response_format = parameters.pop("response_format", None)
    if response_format is not None:
        # Bypass LangChain's own response_format: together with it, only strict tools are accepted.
        settings["extra_body"] = {"response_format": response_format}
    return settings | parameters
