"""Models of OpenAI-compatible servers: requests, streams, and the error of each failure."""

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
)

from backend.ai.chat_models import ModelAddress, ModelSettings, open_chat_model
from backend.ai.chat_models.checked_chat_model import FINISH_REASON, MALFORMED_TOOL_CALLS
from backend.ai.chat_models.errors import InvalidModelResponse, ModelTimeout, ModelUnavailable
from tests.ai.chat_models.completion_server import RawResponse, run_completion_server

QUESTION = [HumanMessage("How many boats?")]
TOOL = {
    "type": "function",
    "function": {"name": "count", "description": "", "parameters": {"type": "object"}},
}


def open_model(server, *, fallbacks=(), timeout_seconds=10):
    address = ModelAddress("openai-compatible", "words", server.url, "a key")
    settings = ModelSettings(
        (address,), fallback_ids=fallbacks, timeout=timedelta(seconds=timeout_seconds)
    )
    return open_chat_model(address, settings)


def delta(reason=None, **fields):
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": reason}]}


def event(document):
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def stream(*documents, end=b"data: [DONE]\n\n"):
    return b"".join(map(event, documents)) + end


def complete(text="Seven."):
    return RawResponse([stream(delta(role="assistant", content=text), delta("stop"))])


def call_model(model, messages=QUESTION, **settings):
    """Return the chunks of a call in an event loop."""

    async def collect():
        async with closing_connections(model):
            return [chunk async for chunk in model.astream(messages, **settings)]

    return asyncio.run(collect())


@asynccontextmanager
async def closing_connections(model):
    """Close the connections of *model*, which belong to the event loop of the block."""
    try:
        yield
    finally:
        await getattr(model, "bound", model)._async_clients.aclose()


def join(chunks):
    first, *others = chunks
    return first + others


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_response_is_the_same_however_its_bytes_arrive(size, line_end):
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    body = b": a comment\n\n" + stream(
        delta(role="assistant", content=""),
        delta(content="Sieben "),
        delta(content="grüne Boote."),
        delta("stop"),
        {"choices": [], "usage": usage},
    )
    body = body.replace(b"\n", line_end)
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    with run_completion_server(RawResponse(parts)) as server:
        message = join(call_model(open_model(server)))

    assert message.text == "Sieben grüne Boote."
    assert message.response_metadata[FINISH_REASON] == "stop"
    assert (message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]) == (
        11,
        7,
    )


def test_text_that_arrives_together_is_one_chunk():
    words = [delta(content=f"{number} ") for number in range(50)]
    with run_completion_server(RawResponse([stream(*words, delta("stop"))])) as server:
        texts = [chunk.text for chunk in call_model(open_model(server)) if chunk.text]

    assert "".join(texts) == "".join(f"{number} " for number in range(50))
    assert len(texts) < 50


def test_synchronous_call_returns_the_same_message():
    with run_completion_server(complete()) as server:
        assert open_model(server).invoke(QUESTION).text == "Seven."


def test_response_that_is_no_stream_is_read():
    call = {"id": "a", "type": "function", "function": {"name": "count", "arguments": "{}"}}
    message = {"role": "assistant", "content": "Seven.", "tool_calls": [call]}
    completion = {
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7},
    }
    body = json.dumps(completion, indent=1).encode()
    response = RawResponse([body], headers={"Content-Type": "application/json"})
    with run_completion_server(response) as server:
        message = join(call_model(open_model(server)))

    assert (message.text, message.response_metadata[FINISH_REASON]) == ("Seven.", "tool_calls")
    assert [call["name"] for call in message.tool_calls] == ["count"]
    assert message.usage_metadata["input_tokens"] == 11


def test_tool_calls_are_joined_from_their_parts():
    def part(index, arguments, **fields):
        function = {"arguments": arguments} | fields.pop("function", {})
        return {"index": index, "function": function, **fields}

    body = stream(
        delta(tool_calls=[part(0, "", id="a", function={"name": "count"})]),
        delta(tool_calls=[part(0, '{"of": '), part(1, "{}", id="b", function={"name": "count"})]),
        delta(tool_calls=[part(0, '"boats"}')]),
        delta("tool_calls"),
    )
    with run_completion_server(RawResponse([body])) as server:
        message = join(call_model(open_model(server)))

    calls = [(call["id"], call["name"], call["args"]) for call in message.tool_calls]
    assert calls == [("a", "count", {"of": "boats"}), ("b", "count", {})]
    assert MALFORMED_TOOL_CALLS not in message.response_metadata


def test_truncated_arguments_are_marked():
    call = {"index": 0, "id": "a", "function": {"name": "count", "arguments": '{"of": "bo'}}
    body = stream(delta(tool_calls=[call]), delta("tool_calls"))
    with run_completion_server(RawResponse([body])) as server:
        message = join(call_model(open_model(server)))

    assert MALFORMED_TOOL_CALLS in message.response_metadata


def test_request_contains_messages_settings_and_tools():
    call = ToolCall(name="count", args={"of": "boats"}, id="a")
    malformed = InvalidToolCall(name="count", args='{"of', id="b", error=None)
    messages = [
        SystemMessage("Be brief."),
        *QUESTION,
        AIMessage("", tool_calls=[call], invalid_tool_calls=[malformed]),
        ToolMessage("7", tool_call_id="a"),
        AIMessage(
            [
                {"type": "text", "text": "Wait."},
                {"type": "tool_use", "id": "c", "name": "count", "input": {}},
            ]
        ),
        HumanMessage([{"type": "image_url", "image_url": {"url": "data:,"}}]),
    ]
    with run_completion_server(complete()) as server:
        model = open_model(server).bind_tools([TOOL], tool_choice="count", max_tokens=9)
        call_model(model, messages, extra_body={"response_format": {"type": "json_object"}})

    (body,) = server.requests
    assert [message["role"] for message in body["messages"]] == [
        *("system", "user", "assistant", "tool", "assistant", "user"),
    ]
    calls = [call["function"]["arguments"] for call in body["messages"][2]["tool_calls"]]
    assert calls == ['{"of": "boats"}', '{"of']
    assert body["messages"][3] == {"role": "tool", "content": "7", "tool_call_id": "a"}
    assert body["messages"][4]["content"] == "Wait."
    assert body["messages"][5]["content"][0]["type"] == "image_url"
    assert body["tool_choice"] == {"type": "function", "function": {"name": "count"}}
    assert (body["tools"], body["max_tokens"], body["model"]) == ([TOOL], 9, "words")
    assert body["response_format"] == {"type": "json_object"}
    assert "extra_body" not in body
    assert server.headers[0]["authorization"] == "Bearer a key"


@pytest.mark.parametrize(
    ("response", "error"),
    [
        pytest.param(RawResponse(status=400), InvalidModelResponse, id="too long"),
        pytest.param(RawResponse(status=401), ModelUnavailable, id="refused key"),
        pytest.param(RawResponse(status=404), ModelUnavailable, id="unknown model"),
        pytest.param(RawResponse(status=429), ModelUnavailable, id="rate limit"),
        pytest.param(RawResponse(status=500), ModelUnavailable, id="server error"),
        pytest.param(RawResponse(status=504), ModelTimeout, id="gateway timeout"),
        pytest.param(RawResponse([b"<html>"]), ModelUnavailable, id="no events"),
        pytest.param(
            RawResponse([stream(delta(content="Half"))]), ModelUnavailable, id="no finish reason"
        ),
        pytest.param(RawResponse([b"data: {\n\n"]), InvalidModelResponse, id="no JSON"),
        pytest.param(RawResponse([b"data: [1]\n\n"]), InvalidModelResponse, id="no object"),
        pytest.param(
            RawResponse([event({"choices": [7]})]), InvalidModelResponse, id="malformed choice"
        ),
        pytest.param(
            RawResponse([event(delta(content=7))]), InvalidModelResponse, id="malformed text"
        ),
        pytest.param(
            RawResponse([event(delta(tool_calls=["count"]))]),
            InvalidModelResponse,
            id="malformed call",
        ),
        pytest.param(
            RawResponse([event(delta(content="Half")), event({"error": {"message": "no"}})]),
            ModelUnavailable,
            id="error midway",
        ),
    ],
)
@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
def test_failure_raises_its_error(response, error, is_async):
    with run_completion_server(response) as server:
        model = open_model(server, fallbacks=["another"])  # without retries
        with pytest.raises(error):
            call_model(model) if is_async else model.invoke(QUESTION)

    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_request_is_repeated_once_after_a_transient_failure(status):
    failed = RawResponse(status=status, headers={"Retry-After": "0.01"})
    with run_completion_server(failed, complete()) as server:
        assert join(call_model(open_model(server))).text == "Seven."

    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "failed",
    [
        pytest.param(RawResponse(status=401), id="refused key"),
        pytest.param(
            RawResponse(status=429, headers={"Retry-After": "3600"}), id="long Retry-After"
        ),
    ],
)
def test_request_is_not_repeated_if_that_is_useless(failed):
    with run_completion_server(failed, complete()) as server, pytest.raises(ModelUnavailable):
        call_model(open_model(server))

    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(b"x" * 2**20, id="one line"),
        pytest.param(b"data: " + b"x" * 2**20 + b"\n", id="lines without end"),
    ],
)
def test_event_of_more_than_16_mb_is_invalid(part):
    with (
        run_completion_server(RawResponse([part] * 20)) as server,
        pytest.raises(InvalidModelResponse),
    ):
        call_model(open_model(server))


def test_connection_is_used_again():
    with run_completion_server(complete()) as server:
        model = open_model(server)

        async def call_twice():
            async with closing_connections(model):
                for _ in range(2):
                    async for _ in model.astream(QUESTION):
                        pass

        asyncio.run(call_twice())

    assert len(server.connections) == 1


def test_api_key_is_not_part_of_the_representation():
    with run_completion_server(complete()) as server:
        model = open_model(server)

    assert "a key" not in f"{model!r} {model.model_dump()}"
