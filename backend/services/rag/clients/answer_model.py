"""Language model that writes answers, called through LangChain, with fallback models."""

import threading
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

from backend.ai.chat_models import (
    ModelAddress,
    ModelSettings,
    ModelTimeout,
    ModelUnavailable,
    open_chat_model,
)

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


class AnswerModel:
    """The default model and its configured fallbacks.

    The rule-based planner of the agent (provider `embedded`) is skipped: it writes no text.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        by_id = {address.id: address for address in settings.addresses}
        chain = [settings.default, *(by_id[model_id] for model_id in settings.fallback_ids)]
        self._addresses: Sequence[ModelAddress] = [
            address for address in chain if not address.is_embedded
        ]
        self._lock = threading.Lock()
        self._open_models: dict[str, BaseChatModel] = {}

    @property
    def name(self) -> str:
        """The id of the default model."""
        return self._addresses[0].id

    def stream_text(self, system_prompt: str, user_prompt: str) -> tuple[str, Iterator[str]]:
        """Return the id of the model that answers, and an iterator over its text.

        Models are tried in order until one returns a first piece of text. Close the iterator to
        cancel the request to the model.

        Raises:
            ModelUnavailable, ModelTimeout: no model returned text. The iterator raises them if the
                model fails later.
        """
        *others, last = self._addresses
        for address in others:
            try:
                return address.id, self._start_stream(address, system_prompt, user_prompt)
            except (ModelUnavailable, ModelTimeout):
                continue
        return last.id, self._start_stream(last, system_prompt, user_prompt)

    def _start_stream(
        self, address: ModelAddress, system_prompt: str, user_prompt: str
    ) -> Iterator[str]:
        """Request an answer and wait for its first piece, so that a failing model raises now."""
        pieces = self._iterate_text(address, system_prompt, user_prompt)
        first = next(pieces, "")
        return _prepend(first, pieces)

    def _iterate_text(
        self, address: ModelAddress, system_prompt: str, user_prompt: str
    ) -> Generator[str]:
        messages = [("system", system_prompt), ("human", user_prompt)]
        for chunk in self._get_model(address).stream(messages):
            if text := str(chunk.text):
                yield text

    def _get_model(self, address: ModelAddress) -> "BaseChatModel":
        with self._lock:
            if address.id not in self._open_models:
                self._open_models[address.id] = open_chat_model(address, self._settings)
            return self._open_models[address.id]


def open_answer_model(settings: ModelSettings) -> AnswerModel | None:
    """Return the answer model, or None if no language model is configured."""
    return None if settings.default.is_embedded else AnswerModel(settings)


def _prepend(first: str, rest: Generator[str]) -> Generator[str]:
    try:
        yield first
        yield from rest
    finally:
        rest.close()
