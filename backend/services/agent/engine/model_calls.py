"""Model calls of one run, whose responses are emitted while they arrive."""

from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    message_chunk_to_message,
)

from backend.services.agent.engine.chat_models.document_summary import PROGRESS_KEY
from backend.services.agent.engine.chat_models.fallback_chain import FallbackChain
from backend.services.agent.engine.telemetry import AgentTelemetry
from backend.services.agent.errors import InvalidModelResponse
from backend.services.agent.model import EmitEvent, RequestType, RunProgress, TextDelta

# Returns a model with the settings and tools of a call.
BindModel = Callable[[BaseChatModel], Any]


class ModelCaller:
    """Calls the models of one run. The text of each response starts a new paragraph.

    Attributes:
        has_text: whether the client already has text of the run's answer.
    """

    def __init__(
        self,
        chain: FallbackChain,
        telemetry: AgentTelemetry,
        request_type: RequestType,
        emit_event: EmitEvent,
    ) -> None:
        self._chain = chain
        self._telemetry = telemetry
        self._request_type = request_type
        self._emit_event = emit_event
        self.has_text = False

    @property
    def model(self) -> str:
        """Return the name of the model in use."""
        return self._chain.model

    async def call_model(self, messages: list[BaseMessage], bind_model: BindModel) -> AIMessage:
        """Return the response of the current model, or of the next one that works.

        Raises:
            ModelUnavailable, ModelTimeout, InvalidModelResponse: the last model failed, or a
                response had started.
        """
        return await self._chain.call_model(
            lambda model: self._stream_response(bind_model(model), messages)
        )

    async def _stream_response(self, model: Any, messages: list[BaseMessage]) -> AIMessage:
        """Call *model*, emit its text while it arrives, and return the complete message."""
        first_token = self._chain.first_token
        chunks: list[AIMessageChunk] = []
        is_new_paragraph = self.has_text
        with self._telemetry.trace_model_call(
            self._chain.labels, self._request_type, messages
        ) as call:
            first_token.start_call()
            # Closing the stream closes the connection to the model at once.
            async with aclosing(model.astream(messages)) as stream:
                async for chunk in stream:
                    chunks.append(chunk)
                    call.record_token()
                    text = chunk.text
                    await first_token.record_chunk(has_text=bool(text))
                    for fields in chunk.additional_kwargs.get(PROGRESS_KEY, ()):
                        await self._emit_event(RunProgress(**fields))
                    if text:
                        await self._emit_text(text, is_new_paragraph=is_new_paragraph)
                        is_new_paragraph = False
            message = _join_chunks(chunks)
            call.end(message)
        return message

    async def _emit_text(self, text: str, *, is_new_paragraph: bool) -> None:
        if is_new_paragraph:
            await self._emit_event(TextDelta("\n\n"))
        self.has_text = True
        await self._emit_event(TextDelta(text))


def _join_chunks(chunks: list[AIMessageChunk]) -> AIMessage:
    """Return the message that consists of *chunks*.

    Raises:
        InvalidModelResponse: it is no message of an assistant.
    """
    message = message_chunk_to_message(chunks[0] + chunks[1:])
    if not isinstance(message, AIMessage):
        raise InvalidModelResponse("The model returned no assistant message.")
    return message
