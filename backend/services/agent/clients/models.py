"""The chat models that are set up, each opened at its first use."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final

from backend.ai.chat_models import EMBEDDED, Address, ModelSettings, open_chat_model
from backend.services.agent.clients.mind import Mind
from backend.services.agent.errors import UnknownModel

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

# Under these keys every model tells callbacks which of the configured ones it is.
MODEL_KEY: Final = "configured_model"
PROVIDER_KEY: Final = "configured_provider"
LITE: Final = EMBEDDED.id
_WRITES: Final = ("streaming", "tools", "writing")
# It says nothing that does not stand in a document or come from a tool.
_QUOTES: Final = ("streaming", "tools", "quoting")

_LIKE_OPENAI: Final = frozenset({"openai", "openai-compatible"})
_EVERYBODYS: Final = frozenset({"stop"})
_OPENAIS: Final = _EVERYBODYS | {
    "frequency_penalty",
    "presence_penalty",
    "response_format",
    "seed",
    "top_p",
}


@dataclass(frozen=True, slots=True)
class Named:
    """A model as callers see it; `context_tokens` is its window, None where that is not known."""

    name: str
    provider: str
    context_tokens: int | None
    capabilities: Sequence[str]


class Models:
    """Names of models and what answers to them; the first is the default."""

    def __init__(self, settings: ModelSettings, mind: Mind) -> None:
        self._settings = settings
        self._mind = mind
        # What needs no server is always there, whatever else is set up.
        self._addresses = {each.id: each for each in (*settings.addresses, EMBEDDED)}
        self._open: dict[str, BaseChatModel] = {}
        self._lock = Lock()

    def known(self) -> list[Named]:
        """Every model that may be asked, the default first."""
        return [
            Named(
                each.id,
                each.provider,
                self.context_tokens(each.id),
                _QUOTES if each.embedded else _WRITES,
            )
            for each in self._addresses.values()
        ]

    def context_tokens(self, name: str) -> int | None:
        """The context window of the model called *name*; of some it is known once they are open."""
        told = self._settings.context_of(self._addresses[name])
        opened = self._open.get(name)
        if told is not None or opened is None or opened.profile is None:
            return told
        return opened.profile.get("max_input_tokens")

    def name_of(self, wanted: str | None) -> str:
        """The model to ask for *wanted*; the default for None, UnknownModel for a stranger."""
        if wanted is None:
            return self._settings.default.id
        if wanted not in self._addresses:
            raise UnknownModel(list(self._addresses))
        return wanted

    def stand_ins(self, name: str) -> Sequence[str]:
        """Who answers, in order, when *name* fails: nobody but for the default.

        Whoever chose another model by name gets that one's answer or its failure.
        """
        if name != self._settings.default.id:
            return []
        return [each for each in self._settings.fallback if each != name]

    def heeded(self, name: str) -> frozenset[str]:
        """The settings of OpenAI's interface that all understand who may answer for *name*."""
        providers = {self.provider_of(each) for each in (name, *self.stand_ins(name))}
        return _OPENAIS if providers <= _LIKE_OPENAI else _EVERYBODYS

    def chat_model(self, name: str) -> "BaseChatModel":
        """The model called *name*, ready to be asked."""
        with self._lock:
            if name not in self._open:
                address = self._addresses[name]
                model = self._opened(address)
                model.metadata = {MODEL_KEY: name, PROVIDER_KEY: address.provider}
                self._open[name] = model
            return self._open[name]

    def provider_of(self, name: str) -> str:
        """Who serves the model called *name*."""
        return self._addresses[name].provider

    def _opened(self, address: Address) -> "BaseChatModel":
        if not address.embedded:
            opened = open_chat_model(address, self._settings)
            return _choosing(opened, self._mind) if address.provider == "local" else opened
        from backend.services.agent.clients.lite import LiteChatModel

        return LiteChatModel(mind=self._mind)


def _choosing(inner: "BaseChatModel", mind: Mind) -> "BaseChatModel":
    from backend.services.agent.clients.local import LocalChatModel

    return LocalChatModel(inner=inner, mind=mind)
