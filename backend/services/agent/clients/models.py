"""The chat models that are set up, each opened at its first use.

LangChain and the providers' packages take seconds to import, so nothing here imports them before
somebody asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Final

from backend.services.agent.clients.mind import Mind
from backend.services.agent.errors import UnknownModel

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

LITE: Final = "embedded-lite"
OPENAI_URL: Final = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class Address:
    """An OpenAI-compatible server, and which of its models to ask."""

    base_url: str
    model: str
    key: str = field(repr=False)

    @property
    def provider(self) -> str:
        return "openai" if self.base_url == OPENAI_URL else "openai-compatible"


@dataclass(frozen=True, slots=True)
class Named:
    """A model as callers see it."""

    name: str
    provider: str


class Models:
    """Names of models and what answers to them; the first is the default."""

    def __init__(self, addresses: Sequence[Address], mind: Mind, timeout: timedelta) -> None:
        self._addresses = {address.model: address for address in addresses}
        self._mind = mind
        self._timeout = timeout
        self._open: dict[str, BaseChatModel] = {}
        self._lock = Lock()

    def known(self) -> list[Named]:
        """Every model that may be asked, the default first."""
        configured = [Named(each.model, each.provider) for each in self._addresses.values()]
        return [*configured, Named(LITE, "embedded")]

    def name_of(self, wanted: str | None) -> str:
        """The model to ask for *wanted*; the default for None, UnknownModel for a stranger."""
        names = [each.name for each in self.known()]
        if wanted is None:
            return names[0]
        if wanted not in names:
            raise UnknownModel(names)
        return wanted

    def chat_model(self, name: str) -> "BaseChatModel":
        """The model called *name*, ready to be asked."""
        with self._lock:
            if name not in self._open:
                self._open[name] = (
                    _lite(self._mind) if name == LITE else self._remote(self._addresses[name])
                )
            return self._open[name]

    def _remote(self, address: Address) -> "BaseChatModel":
        from backend.services.agent.clients.compatible import CompatibleModel, OpenAIModel

        kind = OpenAIModel if address.provider == "openai" else CompatibleModel
        return kind(
            model=address.model,
            base_url=address.base_url,
            api_key=lambda: address.key,
            timeout=self._timeout.total_seconds(),
            stream_chunk_timeout=self._timeout.total_seconds(),
            max_retries=1,
            stream_usage=True,
        )


def _lite(mind: Mind) -> "BaseChatModel":
    from backend.services.agent.clients.lite import LiteChatModel

    return LiteChatModel(mind=mind)
