"""Which model answers: the one that was asked for, and after its failure the next in line."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk

from backend.ai.chat_models import ModelTimeout, ModelUnavailable
from backend.services.agent.clients.models import Models

T = TypeVar("T")
# Told who failed, who answers instead, and the failure's code.
StoodIn = Callable[[str, str, str], None]

_log = logging.getLogger(__name__)


class Succession:
    """The models of one run. Who has taken over keeps the run to its end.

    A model that has begun to speak is not replaced: the listener would hear two beginnings.
    """

    def __init__(self, models: Models, wanted: str, stood_in: StoodIn) -> None:
        self.model = wanted
        self.first_word = FirstWord()
        self._models = models
        self._stood_in = stood_in
        self._next = iter(models.stand_ins(wanted))

    async def ask(self, ask: Callable[[BaseChatModel], Awaitable[T]]) -> T:
        """What *ask* gets from the model whose turn it is."""
        while True:
            self.first_word.spoken = False
            try:
                return await ask(await asyncio.to_thread(self._models.chat_model, self.model))
            except (ModelUnavailable, ModelTimeout) as failure:
                successor = None if self.first_word.spoken else next(self._next, None)
                if successor is None:
                    raise
                _log.warning("%s fails (%s); %s answers", self.model, failure.code, successor)
                self._stood_in(self.model, successor, failure.code)
                self.model = successor


class FirstWord(AsyncCallbackHandler):
    """Hears, as one of LangChain's callbacks, whether a model has begun to speak."""

    run_inline = True  # or a failure could overtake the word

    def __init__(self) -> None:
        self.spoken = False

    async def on_llm_new_token(
        self,
        token: Any,  # a list with some providers
        *,
        chunk: GenerationChunk | ChatGenerationChunk | None = None,
        **_: Any,
    ) -> None:
        self.spoken |= bool(token if chunk is None else chunk.text)
