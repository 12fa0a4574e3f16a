"""The embedded tier behaves as LangChain expects of a chat model."""

import asyncio

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from backend.services.agent.clients.lite import LiteChatModel
from backend.services.agent.domain.lite import LiteMind
from tests.services.agent.stand_ins import WordEmbedder

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "add two numbers",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}


@pytest.fixture
def model():
    return LiteChatModel(mind=LiteMind(WordEmbedder()))


def test_all_ways_of_asking_give_the_same_answer(model):
    whole = model.invoke("hello").text

    assert whole.startswith("Hello")
    assert "".join(chunk.text for chunk in model.stream("hello")) == whole
    assert asyncio.run(model.ainvoke("hello")).text == whole
    assert [each.text for each in model.batch(["hello", "hello"])] == [whole, whole]


def test_an_answer_says_why_it_ended_and_what_it_cost(model):
    answer = model.invoke("hello")

    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata["input_tokens"] > 0
    assert answer.usage_metadata["output_tokens"] > 0


def test_a_tool_is_called_alike_whole_and_streamed(model):
    bound = model.bind_tools([ADD])
    request = [HumanMessage("add two numbers 3 and 4")]

    called = bound.invoke(request)
    chunks = list(bound.stream(request))
    streamed = chunks[0]
    for chunk in chunks[1:]:
        streamed += chunk

    for answer in (called, streamed):
        assert [(each["name"], each["args"]) for each in answer.tool_calls] == [
            ("add", {"a": 3, "b": 4})
        ]
        assert answer.response_metadata["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("tool_choice", "calls"),
    [("none", 0), ("auto", 1), ("any", 1), ("required", 1), ("add", 1), (True, 1)],
)
def test_the_callers_choice_of_tool_is_heeded(model, tool_choice, calls):
    bound = model.bind_tools([ADD], tool_choice=tool_choice)

    assert len(bound.invoke("add two numbers 3 and 4").tool_calls) == calls


@pytest.mark.parametrize("tool_choice", ["any", "add"])
def test_a_call_that_is_demanded_is_made_whatever_was_said(model, tool_choice):
    bound = model.bind_tools([ADD], tool_choice=tool_choice)

    assert [each["args"] for each in bound.invoke("Hello!").tool_calls] == [{"a": 0, "b": 0}]


def test_a_name_in_quotation_marks_is_taken_as_it_stands(model):
    greet = {"name": "greet", "description": "greet somebody"}
    greet["parameters"] = {
        "type": "object",
        "properties": {"who": {"type": "string"}},
        "required": ["who"],
    }
    bound = model.bind_tools([{"type": "function", "function": greet}], tool_choice="greet")

    (call,) = bound.invoke("greet somebody called '你好' in Chinese").tool_calls
    assert call["args"] == {"who": "你好"}


def test_once_its_tool_has_answered_it_speaks(model):
    call = {"name": "add", "args": {"a": 3, "b": 4}, "id": "call_1"}
    messages = [
        HumanMessage("add two numbers 3 and 4"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("7", tool_call_id="call_1", name="add"),
    ]

    assert model.bind_tools([ADD]).invoke(messages).text == "7"


def test_it_stops_where_it_is_told_to(model):
    assert model.invoke("hello", stop=["Ask"]).text == "Hello. "
    short = model.invoke("hello", max_tokens=2)
    assert short.text == "Hello. Ask"
    assert short.response_metadata["finish_reason"] == "length"
