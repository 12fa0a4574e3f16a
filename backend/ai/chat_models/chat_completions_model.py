"""LangChain chat model for servers with OpenAI's chat completions API, over httpx.

The openai and langchain-openai packages need more CPU time for each token than the rest of the
agent: see ADR 95.
"""

import asyncio
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Final

import httpx
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr

from backend.ai.chat_models.chat_completion_events import (
    EventReader,
    build_text_chunk,
    convert_chunk,
    get_text,
)
from backend.ai.chat_models.chat_completion_requests import convert_messages, convert_tool_choice
from backend.ai.chat_models.client_pool import ClientPool
from backend.ai.chat_models.errors import error_for_status
from backend.ai.chat_models.request_retries import get_retry_delay

_LIMITS: Final = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
# The rest of a response after its last event follows at once, or the connection is closed.
_DRAIN_SECONDS: Final = 0.2


class ChatCompletionsModel(BaseChatModel):
    """Requests every response as a stream, so that a call can be cancelled at any time.

    Text that arrives together is one chunk: an overloaded process handles fewer, longer chunks.

    Attributes:
        timeout: limits of a connection and of each read.
        max_retries: how often a request is repeated whose response has not started.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, ignored_types=(cached_property,))

    model_name: str
    base_url: str
    api_key: SecretStr = Field(repr=False, exclude=True)
    timeout: httpx.Timeout = Field(exclude=True)
    max_retries: int = 1
    _converted_tools: dict[int, dict[str, Any]] = PrivateAttr(default_factory=dict)

    @property
    def _llm_type(self) -> str:
        return "chat-completions"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name, "base_url": self.base_url}

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        **settings: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        converted = [self._convert_tool(tool) for tool in tools]
        names = [tool["function"]["name"] for tool in converted if "function" in tool]
        choice = convert_tool_choice(tool_choice, names)
        if choice is not None:
            settings["tool_choice"] = choice
        return self.bind(tools=converted, **settings)

    def _convert_tool(
        self, tool: dict[str, Any] | type | Callable[..., Any] | BaseTool
    ) -> dict[str, Any]:
        """Return *tool* in the format of the API. That of a BaseTool is kept while it exists."""
        if not isinstance(tool, BaseTool):
            return convert_to_openai_tool(tool)
        known = self._converted_tools.get(id(tool))
        if known is None:
            known = self._converted_tools[id(tool)] = convert_to_openai_tool(tool)
            weakref.finalize(tool, self._converted_tools.pop, id(tool), None)
        return known

    def convert_document(self, document: dict[str, Any]) -> ChatGenerationChunk | None:
        """Return the message chunk of a document that contains more than text."""
        return convert_chunk(document)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **settings: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, run_manager, **settings))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **settings: Any,
    ) -> ChatResult:
        stream = self._astream(messages, stop, run_manager, **settings)
        return generate_from_stream(iter([chunk async for chunk in stream]))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,  # noqa: ARG002 - BaseChatModel reports the tokens
        **settings: Any,
    ) -> Iterator[ChatGenerationChunk]:
        response = self._send(self._build_body(messages, stop, settings))
        reader = EventReader(response.headers.get("content-type", ""))
        try:
            for received in response.iter_bytes():
                yield from self._convert_documents(reader.feed(received))
                if reader.has_ended:
                    return
            yield from self._convert_documents(reader.finish())
        finally:
            response.close()

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,  # noqa: ARG002 - BaseChatModel reports the tokens
        **settings: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        with self._async_clients.use_client() as client:
            response = await self._asend(client, self._build_body(messages, stop, settings))
            reader = EventReader(response.headers.get("content-type", ""))
            try:
                parts = response.aiter_bytes()
                async for received in parts:
                    for chunk in self._convert_documents(reader.feed(received)):
                        yield chunk
                    if reader.has_ended:
                        await _drain(parts)
                        return
                for chunk in self._convert_documents(reader.finish()):
                    yield chunk
            finally:
                await response.aclose()

    def _convert_documents(
        self, documents: Sequence[dict[str, Any]]
    ) -> Iterator[ChatGenerationChunk]:
        """Yield the chunks of *documents*. Texts that follow each other are one chunk."""
        texts: list[str] = []
        for document in documents:
            if (text := get_text(document)) is not None:
                texts.append(text)
                continue
            if texts:
                yield build_text_chunk("".join(texts))
                texts = []
            if (chunk := self.convert_document(document)) is not None:
                yield chunk
        if texts:
            yield build_text_chunk("".join(texts))

    def _build_body(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, settings: dict[str, Any]
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model_name,
            "messages": convert_messages(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            **settings,
        }
        if stop is not None:
            body["stop"] = stop
        extra_body: dict[str, Any] = body.pop("extra_body", {})
        return body | extra_body

    def _send(self, body: dict[str, Any]) -> httpx.Response:
        """Send *body* and return the response, whose content is not read yet.

        Raises:
            httpx.TransportError: the server does not respond.
            ModelUnavailable, ModelTimeout, InvalidModelResponse: the server refused the request.
        """
        for attempt in range(self.max_retries + 1):
            try:
                request = self._client.build_request("POST", self._url, json=body)
                response = self._client.send(request, stream=True)
            except httpx.TransportError:
                delay = self._get_delay(attempt)
                if delay is None:
                    raise
            else:
                if response.is_success:
                    return response
                response.close()
                delay = self._get_delay(attempt, response)
                if delay is None:
                    raise error_for_status(response.status_code)
            time.sleep(delay)
        raise AssertionError("the last attempt returns or raises")

    async def _asend(self, client: httpx.AsyncClient, body: dict[str, Any]) -> httpx.Response:
        """Do the same as `_send` in an event loop."""
        for attempt in range(self.max_retries + 1):
            try:
                request = client.build_request("POST", self._url, json=body)
                response = await client.send(request, stream=True)
            except httpx.TransportError:
                delay = self._get_delay(attempt)
                if delay is None:
                    raise
            else:
                if response.is_success:
                    return response
                await response.aclose()
                delay = self._get_delay(attempt, response)
                if delay is None:
                    raise error_for_status(response.status_code)
            await asyncio.sleep(delay)
        raise AssertionError("the last attempt returns or raises")

    def _get_delay(self, attempt: int, response: httpx.Response | None = None) -> float | None:
        """Return the seconds until the request is repeated, or None if it is not."""
        if attempt >= self.max_retries:
            return None
        if response is None:
            return get_retry_delay(attempt)
        return get_retry_delay(attempt, response.status_code, response.headers)

    @cached_property
    def _url(self) -> httpx.URL:
        """Return the URL of all requests. httpx would join and parse it for each of them."""
        return httpx.URL(f"{self.base_url.rstrip('/')}/chat/completions")

    @cached_property
    def _client(self) -> httpx.Client:
        return httpx.Client(**self._get_client_options())

    @cached_property
    def _async_clients(self) -> ClientPool:
        """Return the clients of the only event loop that calls the model."""
        options = self._get_client_options()
        # Creating the context takes long, because it reads the certificates of authorities.
        verify = httpx.create_ssl_context()
        return ClientPool(lambda: httpx.AsyncClient(**options, verify=verify))

    def _get_client_options(self) -> dict[str, Any]:
        return {
            "headers": {"Authorization": f"Bearer {self.api_key.get_secret_value()}"},
            "timeout": self.timeout,
            "limits": _LIMITS,
            "follow_redirects": True,
        }


async def _drain(parts: AsyncIterator[bytes]) -> None:
    """Read the rest of a response, so that its connection can be used again."""
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in parts:
                pass
