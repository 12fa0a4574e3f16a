"""Tests of the OpenAI-compatible routes with the official client over a real connection."""

import json
import threading

import openai
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from werkzeug.serving import make_server

from tests.services.agent.fakes import Reply

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@pytest.fixture
def base_url(request):
    """Base URL of an agent on a real port."""
    app = request.getfixturevalue(getattr(request, "param", "scripted_app"))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


@pytest.fixture
def sdk(base_url, ada):
    with openai.OpenAI(
        base_url=base_url, api_key=ada["Authorization"].split()[1], max_retries=0
    ) as sdk:
        yield sdk


def user_message(text):
    return [{"role": "user", "content": text}]


def test_models_are_listed(sdk):
    assert [model.id for model in sdk.models.list()] == ["scripted", "embedded-lite"]


def test_one_model_is_retrieved_by_name(sdk):
    model = sdk.models.retrieve("embedded-lite")

    assert (model.id, model.object) == ("embedded-lite", "model")
    assert model.owned_by


@pytest.mark.parametrize("name", ["no-such-model", "org/model", "Embedded-Lite"])
def test_retrieving_an_unknown_model_raises_not_found(sdk, name):
    with pytest.raises(openai.NotFoundError) as unknown:
        sdk.models.retrieve(name)

    assert unknown.value.code == "model_not_found"
    assert name in unknown.value.message


def test_every_chunk_of_a_cited_stream_has_a_choice(sdk, rag_service, model, ada):
    rag_service.add_document("The notice period is three months.", ada)
    model.queue_replies(
        Reply(calls=[("search_documents", {"query": "notice"})]),
        Reply(text="The notice period is three months."),
    )

    chunks = list(
        sdk.chat.completions.create(
            model="scripted", messages=user_message("How long?"), stream=True
        )
    )

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == "The notice period is three months. [1]"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].citations[0]["quote"] == "The notice period is three months."


def test_chat_is_answered_with_the_agents_tools(sdk, rag_service, model, ada):
    rag_service.add_document("The notice period is three months.", ada)
    model.queue_replies(
        Reply(calls=[("search_documents", {"query": "notice"})]),
        Reply(text="The notice period is three months."),
    )

    answer = sdk.chat.completions.create(model="scripted", messages=user_message("How long?"))

    assert answer.choices[0].message.content == "The notice period is three months. [1]"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == 36
    assert answer.citations[0]["quote"] == "The notice period is three months."


def test_stream_ends_with_finish_reason_and_usage(sdk, model):
    model.queue_replies(Reply(text="One two three"))

    chunks = list(
        sdk.chat.completions.create(
            model="scripted",
            messages=user_message("Count."),
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "One two three"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], 7)


def test_stream_is_framed_as_in_openais_api(scripted_client, model, ada):
    model.queue_replies(Reply(text="Hi"))

    body = scripted_client.post(
        "/v1/chat/completions", json={"messages": user_message("Hi"), "stream": True}, headers=ada
    ).get_data(as_text=True)

    lines = [line for line in body.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"


@pytest.mark.parametrize("streamed", [False, True])
def test_client_tools_are_returned_for_the_client_to_call(sdk, model, streamed):
    model.queue_replies(Reply(calls=[("get_weather", {"city": "Oslo"})]))
    body = {"model": "scripted", "messages": user_message("Weather in Oslo?"), "tools": [WEATHER]}

    if streamed:
        calls, reason = {}, None
        for chunk in sdk.chat.completions.create(**body, stream=True):
            for choice in chunk.choices:
                reason = choice.finish_reason or reason
                for call in choice.delta.tool_calls or ():
                    calls[call.function.name] = json.loads(call.function.arguments)
    else:
        choice = sdk.chat.completions.create(**body).choices[0]
        reason = choice.finish_reason
        calls = {
            call.function.name: json.loads(call.function.arguments)
            for call in choice.message.tool_calls
        }

    assert calls == {"get_weather": {"city": "Oslo"}}
    assert reason == "tool_calls"
    assert [tool["function"]["name"] for tool in model.requests[0]["tools"]] == ["get_weather"]


def test_results_of_client_tools_are_sent_to_the_model(sdk, model):
    model.queue_replies(Reply(text="It rains."))
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
    }
    messages = [
        *user_message("Weather in Oslo?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]

    answer = sdk.chat.completions.create(model="scripted", messages=messages, tools=[WEATHER])

    assert answer.choices[0].message.content == "It rains."
    assert model.requests[0]["messages"][-1]["content"] == "rain"


def test_rule_based_model_calls_client_tools(sdk):
    answer = sdk.chat.completions.create(
        model="embedded-lite",
        messages=user_message("Tell the weather in a city: Oslo"),
        tools=[WEATHER],
        tool_choice="required",
    )

    call = answer.choices[0].message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "get_weather",
        {"city": "Oslo"},
    )


def test_chosen_tool_is_called(sdk):
    answer = sdk.chat.completions.create(
        model="embedded-lite",
        messages=user_message("Tell the weather in a city: Oslo"),
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
    )

    assert answer.choices[0].message.tool_calls[0].function.name == "get_weather"


@pytest.mark.parametrize("tools", [[], [WEATHER]])
def test_choice_of_an_unknown_tool_is_refused(sdk, tools):
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        sdk.chat.completions.create(
            model="embedded-lite",
            messages=user_message("Tell the weather in a city: Oslo"),
            tools=tools,
            tool_choice={"type": "function", "function": {"name": "get_tides"}},
        )

    assert refused.value.param == "tool_choice.function.name"


def test_tool_with_side_effects_is_not_offered(sdk, rag_service, model):
    model.queue_replies(
        Reply(calls=[("save_note", {"title": "a", "text": "b"})]), Reply(text="I could not.")
    )

    answer = sdk.chat.completions.create(model="scripted", messages=user_message("Note this."))

    offered = [tool["function"]["name"] for tool in model.requests[0]["tools"]]
    assert "save_note" not in offered
    assert answer.steps[0]["status"] == "refused"
    assert rag_service.uploads == []


PART = {"type": "text", "text": "there?"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
PARAMETERS = {
    "stop": ["END"],
    "seed": 7,
    "top_p": 0.5,
    "frequency_penalty": 0.1,
    "response_format": {"type": "json_object"},
}


@pytest.mark.parametrize("tools", [[], [WEATHER]], ids=["agent tools", "client tools"])
def test_model_receives_the_clients_parameters(sdk, model, tools):
    model.queue_replies(Reply(text="{}"))
    client_tools = {"tools": tools} if tools else {}

    sdk.chat.completions.create(
        model="scripted", messages=user_message("Hi"), **PARAMETERS, **client_tools
    )

    assert {name: model.requests[0][name] for name in PARAMETERS} == PARAMETERS


def test_system_message_is_added_to_the_system_prompt(sdk, model):
    model.queue_replies(Reply(text="Aye."))
    messages = [
        {"role": "developer", "content": "Speak like a pirate."},
        {"role": "user", "content": [{"type": "text", "text": "Are you "}, PART]},
    ]

    sdk.chat.completions.create(model="scripted", messages=messages)

    system, message = model.requests[0]["messages"]
    assert "Speak like a pirate." in system["content"]
    assert message["content"] == "Are you there?"


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        pytest.param({"n": 2}, "n", "less than or equal to 1", id="several answers"),
        pytest.param(
            {"messages": [{"role": "user", "content": [PART, IMAGE]}]},
            "messages.0.content",
            "Only text is supported",
            id="image",
        ),
        pytest.param(
            {"model": "embedded-lite", "response_format": {"type": "json_object"}},
            "response_format",
            "does not support response_format",
            id="not supported by the model",
        ),
        pytest.param({"stop": ["a"] * 5}, "stop", "at most 4", id="too many stops"),
        pytest.param({"logprobs": True}, "logprobs", "not supported", id="log probabilities"),
        pytest.param(
            {"response_format": {"type": "json_schema"}},
            "response_format",
            "json_schema is required",
            id="response format without its schema",
        ),
        pytest.param({"max_tokens": 10**9}, "max_tokens", "less than or equal", id="max_tokens"),
    ],
)
def test_unsupported_parameter_is_rejected_with_its_name(
    scripted_client, ada, body, param, message
):
    response = scripted_client.post(
        "/v1/chat/completions", json={"messages": user_message("Hi")} | body, headers=ada
    )

    error = response.json["error"]
    assert response.status_code in {400, 422}
    assert error["type"] == "invalid_request_error"
    assert error["param"].startswith(param)
    assert message in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/v1/embeddings", 404), ("GET", "/v1/chat/completions", 405), ("GET", "/v1/x", 404)],
)
def test_unknown_route_returns_an_openai_error(scripted_client, ada, method, path, status):
    response = scripted_client.open(path, method=method, headers=ada)

    assert response.status_code == status
    assert response.json["error"]["type"] == "invalid_request_error"


def test_include_usage_adds_usage_to_every_chunk(scripted_client, model, ada):
    model.queue_replies(Reply(text="Hi"))
    body = {
        "messages": user_message("Hi"),
        "stream": True,
        "stream_options": {"include_usage": True},
    }

    response_text = scripted_client.post("/v1/chat/completions", json=body, headers=ada).get_data(
        as_text=True
    )

    chunks = [
        json.loads(line[6:]) for line in response_text.split("\n\n") if line.startswith("data: {")
    ]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-1]["usage"]["total_tokens"] == 18


@pytest.fixture
def langchain(base_url, ada):
    return ChatOpenAI(
        base_url=base_url,
        api_key=ada["Authorization"].split()[1],
        model="scripted",
        max_retries=0,
        stream_usage=True,
    )


def test_langchain_receives_complete_and_streamed_answers(langchain, model):
    model.queue_replies(Reply(text="One two"), Reply(text="One two"))

    complete = langchain.invoke("Count.")
    chunks = list(langchain.stream("Count."))

    assert complete.content == "".join(chunk.content for chunk in chunks) == "One two"
    assert complete.usage_metadata["total_tokens"] == 18
    assert sum((chunk.usage_metadata or {}).get("total_tokens", 0) for chunk in chunks) == 18


def test_langchain_calls_client_tools(langchain, model):
    model.queue_replies(Reply(calls=[("get_weather", {"city": "Oslo"})]), Reply(text="It rains."))
    model_with_tools = langchain.bind_tools([WEATHER])

    tool_request = model_with_tools.invoke("Weather in Oslo?")
    tool_message = ToolMessage("rain", tool_call_id=tool_request.tool_calls[0]["id"])
    answer = model_with_tools.invoke([HumanMessage("Weather in Oslo?"), tool_request, tool_message])

    assert tool_request.tool_calls[0]["args"] == {"city": "Oslo"}
    assert answer.content == "It rains."


BLANKS = {
    "empty": "",
    "white space": " \n\t\u3000\u00a0",
    "zero width": "\u200b\u200d\u2060\ufeff",
    "direction marks": "\u200e\u202e\u2066",
    "Hangul filler": "\u3164\u115f",
    "variation selectors": "\ufe0f\U000e0101",
    "Braille blank": "\u2800",
    "absent": None,
    "no parts": [],
    "blank parts": [{"type": "text", "text": " "}, {"type": "text", "text": "\u200b"}],
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("content", BLANKS.values(), ids=BLANKS.keys())
def test_question_without_a_visible_character_is_rejected(client, ada, content, stream):
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": content},
    ]

    response = client.post(
        "/v1/chat/completions", json={"messages": messages, "stream": stream}, headers=ada
    )

    error = response.json["error"]
    assert (response.status_code, error["type"]) == (422, "invalid_request_error")
    assert error["param"] == "messages.2.content"


@pytest.mark.parametrize("role", ["system", "developer", "assistant"])
def test_conversation_without_a_question_is_rejected(client, ada, role):
    response = client.post(
        "/v1/chat/completions",
        json={"messages": [{"role": role, "content": "You are a helpful clerk."}]},
        headers=ada,
    )

    assert (response.status_code, response.json["error"]["param"]) == (422, "messages")


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param({"content": [{"type": "refusal", "refusal": "I cannot."}]}, id="part"),
        pytest.param({"content": None, "refusal": "I cannot."}, id="beside null content"),
        pytest.param({"refusal": "I cannot."}, id="without content"),
    ],
)
def test_refusal_of_the_assistant_is_part_of_the_conversation(sdk, model, refusal):
    model.queue_replies(Reply(text="Hello."))
    messages = [
        *user_message("Tell me the secret."),
        {"role": "assistant"} | refusal,
        *user_message("Hello"),
    ]

    answer = sdk.chat.completions.create(model="scripted", messages=messages)

    assert answer.choices[0].message.content == "Hello."
    assert [message["content"] for message in model.requests[0]["messages"][1:]] == [
        "Tell me the secret.",
        "I cannot.",
        "Hello",
    ]


@pytest.mark.parametrize(
    ("message", "param", "detail"),
    [
        pytest.param(
            {"role": "user", "content": "x" * 100_001},
            "messages.0.content",
            "String should have at most 100000 characters",
            id="too long",
        ),
        pytest.param(
            {"role": "user", "content": 5},
            "messages.0.content",
            "Input should be a valid string or a valid array",
            id="a number",
        ),
        pytest.param(
            {"role": "user", "content": [PART, {"type": "text"}]},
            "messages.0.content.1.text",
            "This field is required.",
            id="part without text",
        ),
        pytest.param(
            {"role": "assistant", "content": [{"type": "refusal", "refusal": 5}]},
            "messages.0.content.0.refusal",
            "Input should be a valid string",
            id="refusal of another type",
        ),
        pytest.param(
            {"role": "user", "content": [{"type": "refusal", "refusal": "No."}]},
            "messages.0",
            "Only a message with the role assistant can contain a refusal.",
            id="refusal of a user",
        ),
    ],
)
def test_invalid_message_is_one_error_at_its_place(client, ada, message, param, detail):
    response = client.post("/v1/chat/completions", json={"messages": [message]}, headers=ada)

    error = response.json["error"]
    assert (response.status_code, error["param"]) == (422, param)
    assert error["message"] == f"{param}: {detail}"


def test_unknown_fields_are_ignored(scripted_client, model, ada):
    model.queue_replies(Reply(text="Hi"))
    body = {
        "messages": user_message("Hi"),
        "model": "scripted",
        "n": 1,
        "user": "x",
        "logit_bias": {},
    }

    assert scripted_client.post("/v1/chat/completions", json=body, headers=ada).status_code == 200


@pytest.mark.parametrize(
    ("message", "pointer"),
    [
        pytest.param(
            {"role": "tool", "content": "7"}, "messages.0", id="tool message without call id"
        ),
        pytest.param(
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "7"}}
                ],
            },
            "messages.0.tool_calls.0.function.arguments",
            id="arguments not an object",
        ),
    ],
)
def test_inconsistent_messages_return_422(scripted_client, ada, message, pointer):
    response = scripted_client.post(
        "/v1/chat/completions", json={"messages": [message]}, headers=ada
    )

    assert (response.status_code, response.json["error"]["param"]) == (422, pointer)


def test_tool_call_with_empty_arguments_is_accepted(scripted_client, model, ada):
    model.queue_replies(Reply(text="Hi"))
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    tool_message = {"role": "tool", "tool_call_id": "a", "content": "7"}
    messages = [{"role": "assistant", "tool_calls": [call]}, tool_message]

    response = scripted_client.post(
        "/v1/chat/completions", json={"messages": messages}, headers=ada
    )

    assert response.status_code == 200, response.text


def test_official_client_raises_its_error_classes(sdk, base_url, model):
    with pytest.raises(openai.NotFoundError) as unknown:
        sdk.chat.completions.create(model="gpt-99", messages=user_message("Hi"))
    assert unknown.value.code == "model_not_found"

    with pytest.raises(openai.UnprocessableEntityError) as invalid:
        sdk.chat.completions.create(model="scripted", messages=[])
    assert invalid.value.param == "messages"

    with (
        openai.OpenAI(base_url=base_url, api_key="wrong", max_retries=0) as unauthenticated,
        pytest.raises(openai.AuthenticationError),
    ):
        unauthenticated.models.list()

    model.queue_replies(Reply(status=401))
    with pytest.raises(openai.InternalServerError) as unavailable:
        sdk.chat.completions.create(model="scripted", messages=user_message("Hi"), stream=True)
    assert unavailable.value.code == "model_unavailable"


def test_failure_after_stream_start_raises_in_the_client(sdk, model):
    model.queue_replies(Reply(text="Half an", disconnects=True))

    stream = sdk.chat.completions.create(model="scripted", messages=user_message("Hi"), stream=True)

    with pytest.raises(openai.APIError, match=r"before it was complete|does not respond"):
        list(stream)


@pytest.mark.alone
def test_closing_the_stream_stops_the_model(sdk, model):
    model.queue_replies(Reply(text="word " * 200, pause_seconds=0.05))
    stream = sdk.chat.completions.create(
        model="scripted", messages=user_message("Talk."), stream=True
    )
    next(iter(stream))

    stream.close()

    assert model.client_disconnected.wait(60)


@pytest.mark.alone
def test_client_timeout_stops_the_model(sdk, model):
    model.queue_replies(Reply(text="word " * 200, pause_seconds=0.05))

    with pytest.raises(openai.APITimeoutError):
        sdk.with_options(timeout=1.5).chat.completions.create(
            model="scripted", messages=user_message("Talk.")
        )

    assert model.client_disconnected.wait(60)
