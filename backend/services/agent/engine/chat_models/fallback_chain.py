"""Fallback between chat models within one run."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk

from backend.ai.chat_models import ModelTimeout, ModelUnavailable
from backend.services.agent.engine.chat_models.registry import ChatModelRegistry

T = TypeVar("T")
# Records a fallback: failed model, next model, error code.
RecordFallback = Callable[[str, str, str], None]

_log = logging.getLogger(__name__)


class FallbackChain:
    """Try the requested model, then its configured fallbacks.

    After a fallback succeeds, the run stays on that model. A model whose response has started is
    not replaced: the client would receive the beginning of two answers.

    Attributes:
        model: name of the model in use.
        first_token: must be among the callbacks of every model call.
    """

    def __init__(
        self, models: ChatModelRegistry, requested_model: str, record_fallback: RecordFallback
    ) -> None:
        self.model = requested_model
        self.first_token = FirstTokenCallback()
        self._models = models
        self._record_fallback = record_fallback
        self._fallbacks = iter(models.get_fallbacks(requested_model))

    async def call_model(self, call: Callable[[BaseChatModel], Awaitable[T]]) -> T:
        """Return the result of *call* for the current model, or for the next one that works.

        Raises:
            ModelUnavailable, ModelTimeout: the last model failed, or a response had started.
        """
        while True:
            self.first_token.has_arrived = False
            try:
                return await call(await asyncio.to_thread(self._models.get_chat_model, self.model))
            except (ModelUnavailable, ModelTimeout) as error:
                fallback = None if self.first_token.has_arrived else next(self._fallbacks, None)
                if fallback is None:
                    raise
                _log.warning(
                    "model %s failed (%s), falling back to %s", self.model, error.code, fallback
                )
                self._record_fallback(self.model, fallback, error.code)
                self.model = fallback


class FirstTokenCallback(AsyncCallbackHandler):
    """LangChain callback that records whether a model's response has started."""

    run_inline = True  # otherwise a failure could be handled before the token that preceded it

    def __init__(self) -> None:
        self.has_arrived = False

    async def on_llm_new_token(
        self,
        token: Any,  # a list with some providers
        *,
        chunk: GenerationChunk | ChatGenerationChunk | None = None,
        **_: Any,
    ) -> None:
        self.has_arrived |= bool(token if chunk is None else chunk.text)
