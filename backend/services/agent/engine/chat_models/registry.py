"""The configured chat models, each opened at its first use."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Final

from backend.ai.chat_models import EMBEDDED, ModelAddress, ModelSettings, open_chat_model
from backend.services.agent.engine.chat_models.planner import ModelPlanner
from backend.services.agent.errors import UnknownModel

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

RULE_BASED_MODEL: Final = EMBEDDED.id
_GENERATIVE_CAPABILITIES: Final = ("streaming", "tools", "writing")
# The rule-based model only returns text of documents and tool results.
_EXTRACTIVE_CAPABILITIES: Final = ("streaming", "tools", "quoting")

_OPENAI_PROVIDERS: Final = frozenset({"openai", "openai-compatible"})
_COMMON_PARAMETERS: Final = frozenset({"stop"})
_OPENAI_PARAMETERS: Final = _COMMON_PARAMETERS | {
    "frequency_penalty",
    "presence_penalty",
    "response_format",
    "seed",
    "top_p",
}


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Description of a model for callers. `context_tokens` is None if its window is unknown."""

    name: str
    provider: str
    context_tokens: int | None
    capabilities: Sequence[str]


class ChatModelRegistry:
    """The chat models by name. The first configured one is the default.

    The rule-based model needs no server and is always included.
    """

    def __init__(self, settings: ModelSettings, planner: ModelPlanner) -> None:
        self.planner = planner
        self._settings = settings
        self._addresses = {address.id: address for address in (*settings.addresses, EMBEDDED)}
        self._open_models: dict[str, BaseChatModel] = {}
        self._lock = Lock()

    def list_models(self) -> list[ModelInfo]:
        """Return all models, the default first."""
        return [
            ModelInfo(
                address.id,
                address.provider,
                self.get_context_tokens(address.id),
                _EXTRACTIVE_CAPABILITIES if address.is_embedded else _GENERATIVE_CAPABILITIES,
            )
            for address in self._addresses.values()
        ]

    def get_context_tokens(self, name: str) -> int | None:
        """Return the context window of the model *name* in tokens, or None if it is unknown.

        For some models it is known only after they were opened.
        """
        configured = self._settings.get_context_tokens(self._addresses[name])
        model = self._open_models.get(name)
        if configured is not None or model is None or model.profile is None:
            return configured
        return model.profile.get("max_input_tokens")

    def resolve_name(self, requested: str | None) -> str:
        """Return *requested*, or the name of the default model for None.

        Raises:
            UnknownModel: there is no model of this name.
        """
        if requested is None:
            return self._settings.default.id
        if requested not in self._addresses:
            raise UnknownModel(list(self._addresses))
        return requested

    def get_fallbacks(self, name: str) -> Sequence[str]:
        """Return the names of the models to try after *name* failed, in order.

        Only the default model has fallbacks: a caller that chose another model by name receives
        its answer or its failure.
        """
        if name != self._settings.default.id:
            return []
        return [fallback for fallback in self._settings.fallback_ids if fallback != name]

    def get_supported_parameters(self, name: str) -> frozenset[str]:
        """Return the OpenAI parameters that *name* and all its fallbacks support."""
        providers = {self.get_provider(model) for model in (name, *self.get_fallbacks(name))}
        return _OPENAI_PARAMETERS if providers <= _OPENAI_PROVIDERS else _COMMON_PARAMETERS

    def get_chat_model(self, name: str) -> "BaseChatModel":
        """Return the model *name* and open it if necessary."""
        with self._lock:
            if name not in self._open_models:
                self._open_models[name] = self._open_model(self._addresses[name])
            return self._open_models[name]

    def find_open_model(self, name: str) -> "BaseChatModel | None":
        """Return the model *name* if it was opened before, which takes no time."""
        return self._open_models.get(name)

    def get_provider(self, name: str) -> str:
        """Return the provider of the model *name*."""
        return self._addresses[name].provider

    def _open_model(self, address: ModelAddress) -> "BaseChatModel":
        if address.is_embedded:
            from backend.services.agent.engine.chat_models.rule_based_chat_model import (
                RuleBasedChatModel,
            )

            return RuleBasedChatModel(planner=self.planner)
        model = open_chat_model(address, self._settings)
        if address.provider != "local" and not address.is_small:
            return model
        from backend.services.agent.engine.chat_models.local_chat_model import LocalChatModel

        return LocalChatModel(
            inner=model, planner=self.planner, supports_schemas=address.provider == "local"
        )

    def get_run_timeout(self, name: str, configured: timedelta) -> timedelta:
        """Return the time limit of a run: *configured*, or more for a model that is slower."""
        model = self._open_models.get(name)
        get_run_timeout = getattr(model, "get_run_timeout", None)
        return configured if get_run_timeout is None else get_run_timeout(configured)
