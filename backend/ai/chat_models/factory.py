"""Open chat models by their address."""

from importlib import import_module
from typing import TYPE_CHECKING

from backend.ai.chat_models.errors import ModelProviderNotInstalled
from backend.ai.chat_models.model_address import ModelAddress
from backend.ai.chat_models.providers import PROVIDERS
from backend.ai.chat_models.settings import ModelSettings

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


def open_chat_model(address: ModelAddress, settings: ModelSettings) -> "BaseChatModel":
    """Return a LangChain chat model for *address*. It may be used in threads and event loops.

    The first call per provider takes seconds, because it imports the provider's packages. Failures
    of the server are raised by the model as ModelUnavailable, ModelTimeout or InvalidModelResponse.

    Raises:
        ModelProviderNotInstalled: the provider's optional package is missing.
    """
    provider = PROVIDERS[address.provider]
    try:
        module = import_module(f"backend.ai.chat_models.{provider.module}")
    except ModuleNotFoundError as error:
        missing_package = (error.name or "").partition(".")[0]
        if provider.extra is None or missing_package != provider.package:
            raise
        raise ModelProviderNotInstalled(provider.name, provider.extra) from error
    model: BaseChatModel = module.open_model(address, settings)
    return model
