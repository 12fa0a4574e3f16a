"""Fallback between chat models within one run."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from langchain_core.language_models import BaseChatModel

from backend.ai.chat_models import ModelTimeout, ModelUnavailable
from backend.services.agent.engine.chat_models.registry import ChatModelRegistry
from backend.services.agent.engine.first_token_priority import FirstTokenPriority
from backend.services.agent.engine.metrics import ModelLabels

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
        first_token: must be informed of every model call and its chunks.
    """

    def __init__(
        self,
        models: ChatModelRegistry,
        requested_model: str,
        record_fallback: RecordFallback,
        priority: FirstTokenPriority,
        on_model_call: Callable[[], None],
    ) -> None:
        """Create the chain of one run, which has precedence until its first token or `close`.

        *on_model_call* is called before each request to a model.
        """
        self.model = requested_model
        self.first_token = FirstTokenTracker(priority, on_model_call)
        self._models = models
        self._record_fallback = record_fallback
        self._fallbacks = iter(models.get_fallbacks(requested_model))

    @property
    def labels(self) -> ModelLabels:
        """Return the labels of the model in use."""
        return ModelLabels(self._models.get_provider(self.model), self.model)

    def close(self) -> None:
        """End the precedence of the run."""
        self.first_token.close()

    async def call_model(self, call: Callable[[BaseChatModel], Awaitable[T]]) -> T:
        """Return the result of *call* for the current model, or for the next one that works.

        Raises:
            ModelUnavailable, ModelTimeout: the last model failed, or a response had started.
        """
        while True:
            self.first_token.has_arrived = False
            try:
                return await call(await self._open_model())
            except (ModelUnavailable, ModelTimeout) as error:
                fallback = None if self.first_token.has_arrived else next(self._fallbacks, None)
                if fallback is None:
                    raise
                _log.warning(
                    "model %s failed (%s), falling back to %s", self.model, error.code, fallback
                )
                self._record_fallback(self.model, fallback, error.code)
                self.model = fallback

    async def _open_model(self) -> BaseChatModel:
        model = self._models.find_open_model(self.model)
        if model is None:
            model = await asyncio.to_thread(self._models.get_chat_model, self.model)
        return model


class FirstTokenTracker:
    """Records whether a model's response has started.

    Further tokens wait for runs whose response has not started, while the loop is overloaded.
    """

    def __init__(self, priority: FirstTokenPriority, on_model_call: Callable[[], None]) -> None:
        self.has_arrived = False
        self._priority = priority
        self._on_model_call = on_model_call
        priority.add_waiting_run(self)

    def close(self) -> None:
        """End the precedence of the run."""
        self._priority.remove_waiting_run(self)

    def start_call(self) -> None:
        """Record that the model is called now."""
        self._priority.limit_waiting_run(self)
        self._on_model_call()

    async def record_chunk(self, *, has_text: bool) -> None:
        """Record a chunk of the response. Waits before later chunks, see above."""
        if self.has_arrived:
            await self._priority.wait_for_new_runs()
        elif has_text:
            self.has_arrived = True
            self._priority.remove_waiting_run(self)
