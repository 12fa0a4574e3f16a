"""OpenAI's interface, as its own client speaks it, over a real connection."""

import json
import threading

import openai
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from werkzeug.serving import make_server

from tests.services.agent.stand_ins import Reply

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
def served(request):
    """Where the agent listens, as a real server."""
    app = request.getfixturevalue(getattr(request, "param", "scripted_app"))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


@pytest.fixture
def sdk(served, ada):
    with openai.OpenAI(
        base_url=served, api_key=ada["Authorization"].split()[1], max_retries=0
    ) as sdk:
        yield sdk


def user(text):
    return [{"role": "user", "content": text}]


def test_the_models_are_listed(sdk):
    assert [model.id for model in sdk.models.list()] == ["scripted", "embedded-lite"]


def test_a_chat_is_answered_with_the_agents_tools(sdk, shelf, model, ada):
    shelf.hold("The notice period is three months.", ada)
    model.will(
        Reply(calls=[("search_documents", {"query": "notice"})]),
        Reply(text="The notice period is three months."),
    )

    answer = sdk.chat.completions.create(model="scripted", messages=user("How long?"))

    assert answer.choices[0].message.content == "The notice period is three months. [1]"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == 36
    assert answer.citations[0]["quote"] == "The notice period is three months."


def test_a_stream_ends_with_its_reason_and_usage(sdk, model):
    model.will(Reply(text="One two three"))

    chunks = list(
        sdk.chat.completions.create(
            model="scripted",
            messages=user("Count."),
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)
    assert text == "One two three"
    assert [each.choices[0].finish_reason for each in chunks if each.choices][-1] == "stop"
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], 7)


def test_a_stream_is_framed_as_openai_frames_it(scripted, model, ada):
    model.will(Reply(text="Hi"))

    body = scripted.post(
        "/v1/chat/completions", json={"messages": user("Hi"), "stream": True}, headers=ada
    ).get_data(as_text=True)

    lines = [line for line in body.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_clients_own_tools_are_called_by_the_client(sdk, model, streamed):
    model.will(Reply(calls=[("get_weather", {"city": "Oslo"})]))
    asked = {"model": "scripted", "messages": user("Weather in Oslo?"), "tools": [WEATHER]}

    if streamed:
        calls, reason = {}, None
        for chunk in sdk.chat.completions.create(**asked, stream=True):
            for choice in chunk.choices:
                reason = choice.finish_reason or reason
                for call in choice.delta.tool_calls or ():
                    calls[call.function.name] = json.loads(call.function.arguments)
    else:
        choice = sdk.chat.completions.create(**asked).choices[0]
        reason = choice.finish_reason
        calls = {
            call.function.name: json.loads(call.function.arguments)
            for call in choice.message.tool_calls
        }

    assert calls == {"get_weather": {"city": "Oslo"}}
    assert reason == "tool_calls"
    assert [tool["function"]["name"] for tool in model.requests[0]["tools"]] == ["get_weather"]


def test_the_results_of_a_clients_tools_are_passed_on(sdk, model):
    model.will(Reply(text="It rains."))
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
    }
    messages = [
        *user("Weather in Oslo?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]

    answer = sdk.chat.completions.create(model="scripted", messages=messages, tools=[WEATHER])

    assert answer.choices[0].message.content == "It rains."
    assert model.requests[0]["messages"][-1]["content"] == "rain"


def test_the_embedded_tier_calls_a_clients_tools(sdk):
    answer = sdk.chat.completions.create(
        model="embedded-lite",
        messages=user("Tell the weather in a city: Oslo"),
        tools=[WEATHER],
        tool_choice="required",
    )

    call = answer.choices[0].message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "get_weather",
        {"city": "Oslo"},
    )


def test_a_tool_with_side_effects_is_not_offered_where_nobody_can_approve(sdk, shelf, model):
    model.will(
        Reply(calls=[("save_note", {"title": "a", "text": "b"})]), Reply(text="I could not.")
    )

    answer = sdk.chat.completions.create(model="scripted", messages=user("Note this."))

    offered = [tool["function"]["name"] for tool in model.requests[0]["tools"]]
    assert "save_note" not in offered
    assert answer.steps[0]["status"] == "refused"
    assert shelf.uploads == []


PART = {"type": "text", "text": "there?"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SETTINGS = {
    "stop": ["END"],
    "seed": 7,
    "top_p": 0.5,
    "frequency_penalty": 0.1,
    "response_format": {"type": "json_object"},
}


@pytest.mark.parametrize("tools", [[], [WEATHER]], ids=["our tools", "the client's"])
def test_a_clients_settings_reach_the_model(sdk, model, tools):
    model.will(Reply(text="{}"))
    more = {"tools": tools} if tools else {}

    sdk.chat.completions.create(model="scripted", messages=user("Hi"), **SETTINGS, **more)

    assert {name: model.requests[0][name] for name in SETTINGS} == SETTINGS


def test_a_system_message_reaches_the_model_beside_our_own(sdk, model):
    model.will(Reply(text="Aye."))
    messages = [
        {"role": "developer", "content": "Speak like a pirate."},
        {"role": "user", "content": [{"type": "text", "text": "Are you "}, PART]},
    ]

    sdk.chat.completions.create(model="scripted", messages=messages)

    system, said = model.requests[0]["messages"]
    assert "Speak like a pirate." in system["content"]
    assert said["content"] == "Are you there?"


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        pytest.param({"n": 2}, "n", "less than or equal to 1", id="several answers"),
        pytest.param(
            {"messages": [{"role": "user", "content": [PART, IMAGE]}]},
            "messages.0.content",
            "Only text is read here",
            id="an image",
        ),
        pytest.param(
            {"model": "embedded-lite", "response_format": {"type": "json_object"}},
            "response_format",
            "does not heed response_format",
            id="what the model cannot do",
        ),
        pytest.param({"stop": ["a"] * 5}, "stop", "at most 4", id="too many stops"),
        pytest.param({"max_tokens": 10**9}, "max_tokens", "less than or equal", id="max_tokens"),
    ],
)
def test_what_is_not_done_is_refused_by_its_name(scripted, ada, body, param, said):
    response = scripted.post(
        "/v1/chat/completions", json={"messages": user("Hi")} | body, headers=ada
    )

    error = response.json["error"]
    assert response.status_code in {400, 422}
    assert error["type"] == "invalid_request_error"
    assert error["param"].startswith(param)
    assert said in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/v1/embeddings", 404), ("GET", "/v1/chat/completions", 405), ("GET", "/v1/x", 404)],
)
def test_what_is_not_there_is_told_in_openais_form_too(scripted, ada, method, path, status):
    response = scripted.open(path, method=method, headers=ada)

    assert response.status_code == status
    assert response.json["error"]["type"] == "invalid_request_error"


def test_usage_stands_in_every_chunk_once_it_is_asked_for(scripted, model, ada):
    model.will(Reply(text="Hi"))
    body = {"messages": user("Hi"), "stream": True, "stream_options": {"include_usage": True}}

    sent = scripted.post("/v1/chat/completions", json=body, headers=ada).get_data(as_text=True)

    chunks = [json.loads(line[6:]) for line in sent.split("\n\n") if line.startswith("data: {")]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-1]["usage"]["total_tokens"] == 18


@pytest.fixture
def langchain(served, ada):
    return ChatOpenAI(
        base_url=served,
        api_key=ada["Authorization"].split()[1],
        model="scripted",
        max_retries=0,
        stream_usage=True,
    )


def test_langchain_is_answered_whole_and_in_pieces(langchain, model):
    model.will(Reply(text="One two"), Reply(text="One two"))

    whole = langchain.invoke("Count.")
    pieces = list(langchain.stream("Count."))

    assert whole.content == "".join(piece.content for piece in pieces) == "One two"
    assert whole.usage_metadata["total_tokens"] == 18
    assert sum((piece.usage_metadata or {}).get("total_tokens", 0) for piece in pieces) == 18


def test_langchain_calls_its_own_tools(langchain, model):
    model.will(Reply(calls=[("get_weather", {"city": "Oslo"})]), Reply(text="It rains."))
    bound = langchain.bind_tools([WEATHER])

    asked = bound.invoke("Weather in Oslo?")
    told = ToolMessage("rain", tool_call_id=asked.tool_calls[0]["id"])
    answer = bound.invoke([HumanMessage("Weather in Oslo?"), asked, told])

    assert asked.tool_calls[0]["args"] == {"city": "Oslo"}
    assert answer.content == "It rains."


def test_unknown_fields_are_ignored(scripted, model, ada):
    model.will(Reply(text="Hi"))
    body = {"messages": user("Hi"), "model": "scripted", "n": 1, "user": "x", "logit_bias": {}}

    assert scripted.post("/v1/chat/completions", json=body, headers=ada).status_code == 200


@pytest.mark.parametrize(
    ("message", "pointer"),
    [
        pytest.param({"role": "tool", "content": "7"}, "messages.0", id="an answer to no call"),
        pytest.param(
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "7"}}
                ],
            },
            "messages.0.tool_calls.0.function.arguments",
            id="a call with half an object",
        ),
    ],
)
def test_messages_that_make_no_conversation_are_the_callers_fault(scripted, ada, message, pointer):
    response = scripted.post("/v1/chat/completions", json={"messages": [message]}, headers=ada)

    assert (response.status_code, response.json["error"]["param"]) == (422, pointer)


def test_a_call_without_arguments_in_the_history_is_one_with_none(scripted, model, ada):
    model.will(Reply(text="Hi"))
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    answered = {"role": "tool", "tool_call_id": "a", "content": "7"}
    messages = [{"role": "assistant", "tool_calls": [call]}, answered]

    response = scripted.post("/v1/chat/completions", json={"messages": messages}, headers=ada)

    assert response.status_code == 200, response.text


def test_errors_are_openais(sdk, served, model):
    with pytest.raises(openai.NotFoundError) as unknown:
        sdk.chat.completions.create(model="gpt-99", messages=user("Hi"))
    assert unknown.value.code == "model_not_found"

    with pytest.raises(openai.UnprocessableEntityError) as invalid:
        sdk.chat.completions.create(model="scripted", messages=[])
    assert invalid.value.param == "messages"

    with (
        openai.OpenAI(base_url=served, api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.models.list()

    model.will(Reply(status=401))
    with pytest.raises(openai.InternalServerError) as down:
        sdk.chat.completions.create(model="scripted", messages=user("Hi"), stream=True)
    assert down.value.code == "model_unavailable"


def test_a_failure_in_mid_stream_raises_in_the_client(sdk, model):
    model.will(Reply(text="Half an", break_off=True))

    stream = sdk.chat.completions.create(model="scripted", messages=user("Hi"), stream=True)

    with pytest.raises(openai.APIError, match=r"broke off|does not answer"):
        list(stream)


@pytest.mark.alone
def test_a_client_that_leaves_stops_the_model(sdk, model):
    model.will(Reply(text="word " * 200, pause=0.05))
    stream = sdk.chat.completions.create(model="scripted", messages=user("Talk."), stream=True)
    next(iter(stream))

    stream.close()

    assert model.left.wait(2)


@pytest.mark.alone
def test_a_client_that_leaves_a_whole_answer_stops_the_model_too(sdk, model):
    model.will(Reply(text="word " * 200, pause=0.05))

    with pytest.raises(openai.APITimeoutError):
        sdk.with_options(timeout=1.5).chat.completions.create(
            model="scripted", messages=user("Talk.")
        )

    assert model.left.wait(2)
