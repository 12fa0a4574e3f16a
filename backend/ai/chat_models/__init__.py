"""Chat models: which are set up, how each is opened, and what their failures mean.

Nothing here imports LangChain or a provider's package before a model is opened: they take
seconds, and a service must be up before that.
"""

from backend.ai.chat_models.addresses import EMBEDDED, Address
from backend.ai.chat_models.errors import (
    ModelMisbehaved,
    ModelTimeout,
    ModelUnavailable,
)
from backend.ai.chat_models.opening import open_chat_model
from backend.ai.chat_models.settings import ModelSettings

__all__ = [
    "EMBEDDED",
    "Address",
    "ModelMisbehaved",
    "ModelSettings",
    "ModelTimeout",
    "ModelUnavailable",
    "open_chat_model",
]
