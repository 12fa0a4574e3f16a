"""Chat models: configuration, opening by address, and errors.

Nothing here imports LangChain or a provider's package before a model is opened: these imports
take seconds, and a service has to be ready before that.
"""

from backend.ai.chat_models.errors import (
    InvalidModelResponse,
    ModelTimeout,
    ModelUnavailable,
)
from backend.ai.chat_models.factory import open_chat_model
from backend.ai.chat_models.model_address import EMBEDDED, ModelAddress
from backend.ai.chat_models.providers import PROVIDERS
from backend.ai.chat_models.settings import ModelSettings

__all__ = [
    "EMBEDDED",
    "PROVIDERS",
    "InvalidModelResponse",
    "ModelAddress",
    "ModelSettings",
    "ModelTimeout",
    "ModelUnavailable",
    "open_chat_model",
]
