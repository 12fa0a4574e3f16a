"""The language model that writes answers, through LangChain."""

import threading
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

from backend.ai.chat_models import (
    Address,
    ModelSettings,
    ModelTimeout,
    ModelUnavailable,
    open_chat_model,
)

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


class Writer:
    """The default model, and those that stand in for it, as one that writes text."""

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        known = {each.id: each for each in settings.addresses}
        chosen = [settings.default, *(known[name] for name in settings.fallback)]
        self._addresses: Sequence[Address] = [each for each in chosen if not each.embedded]
        self._opening = threading.Lock()
        self._opened: dict[str, BaseChatModel] = {}

    @property
    def name(self) -> str:
        return self._addresses[0].id

    def write(self, instructions: str, request: str) -> tuple[str, Iterator[str]]:
        """The model's name and its text, piece by piece, of which the first is there already.

        Raises ModelUnavailable or ModelTimeout when no model began; the pieces may raise them
        later. Closing the pieces hangs up on the model.
        """
        *others, last = self._addresses
        for address in others:
            try:
                return address.id, self._begun(address, instructions, request)
            except (ModelUnavailable, ModelTimeout):
                continue
        return last.id, self._begun(last, instructions, request)

    def _begun(self, address: Address, instructions: str, request: str) -> Iterator[str]:
        pieces = self._pieces(address, instructions, request)
        first = next(pieces, "")
        return _with_first(first, pieces)

    def _pieces(self, address: Address, instructions: str, request: str) -> Generator[str]:
        messages = [("system", instructions), ("human", request)]
        for chunk in self._model(address).stream(messages):
            if text := str(chunk.text):
                yield text

    def _model(self, address: Address) -> "BaseChatModel":
        with self._opening:
            if address.id not in self._opened:
                self._opened[address.id] = open_chat_model(address, self._settings)
            return self._opened[address.id]


def open_writer(settings: ModelSettings) -> Writer | None:
    """None where no language model is set up."""
    return None if settings.default.embedded else Writer(settings)


def _with_first(first: str, rest: Generator[str]) -> Generator[str]:
    try:
        yield first
        yield from rest
    finally:
        rest.close()
