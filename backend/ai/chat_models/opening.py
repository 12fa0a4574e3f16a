"""Open a chat model at its address."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from backend.ai.chat_models.addresses import Address
from backend.ai.chat_models.errors import ModelNotInstalled
from backend.ai.chat_models.settings import ModelSettings

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

_MODULES: Final = {
    "openai": "compatible",
    "openai-compatible": "compatible",
    "local": "compatible",
    "ollama": "ollama",
    "anthropic": "anthropic",
}


def open_chat_model(address: Address, settings: ModelSettings) -> "BaseChatModel":
    """The model at *address*, ready to be asked and streamed, in threads or in an event loop.

    What goes wrong at its server leaves it as ModelUnavailable, ModelTimeout or ModelMisbehaved;
    ModelNotInstalled tells what to install. Takes seconds the first time: packages are imported.
    """
    try:
        module = import_module(f"backend.ai.chat_models.{_MODULES[address.provider]}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != f"langchain_{address.provider}":
            raise
        raise ModelNotInstalled(address.provider) from error
    model: BaseChatModel = module.open_model(address, settings)
    return model
