"""Chat models: which are set up, how each is opened, and what their failures mean.

Nothing here imports LangChain or a provider's package before a model is opened: they take
seconds, and a service must be up before that.
"""

from backend.chassis.models.addresses import EMBEDDED, Address
from backend.chassis.models.failures import (
    ModelMisbehaved,
    ModelTimeout,
    ModelUnavailable,
)
from backend.chassis.models.opening import open_chat_model
from backend.chassis.models.settings import ModelSettings

__all__ = [
    "EMBEDDED",
    "Address",
    "ModelMisbehaved",
    "ModelSettings",
    "ModelTimeout",
    "ModelUnavailable",
    "open_chat_model",
]
