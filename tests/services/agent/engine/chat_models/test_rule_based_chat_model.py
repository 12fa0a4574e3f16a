"""RuleBasedChatModel implements LangChain's chat model interface."""

import asyncio

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from backend.services.agent.domain.rule_based.planner import RuleBasedPlanner
from backend.services.agent.engine.chat_models.rule_based_chat_model import RuleBasedChatModel
from tests.services.agent.fakes import WordEmbedder

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
    return RuleBasedChatModel(planner=RuleBasedPlanner(WordEmbedder()))


def test_invoke_stream_and_batch_return_the_same_text(model):
    text = model.invoke("hello").text

    assert text.startswith("Hello")
    assert "".join(chunk.text for chunk in model.stream("hello")) == text
    assert asyncio.run(model.ainvoke("hello")).text == text
    assert [message.text for message in model.batch(["hello", "hello"])] == [text, text]


def test_response_contains_finish_reason_and_usage(model):
    answer = model.invoke("hello")

    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata["input_tokens"] > 0
    assert answer.usage_metadata["output_tokens"] > 0


def test_tool_call_is_the_same_invoked_and_streamed(model):
    bound = model.bind_tools([ADD])
    request = [HumanMessage("add two numbers 3 and 4")]

    invoked = bound.invoke(request)
    chunks = list(bound.stream(request))
    streamed = chunks[0]
    for chunk in chunks[1:]:
        streamed += chunk

    for answer in (invoked, streamed):
        assert [(call["name"], call["args"]) for call in answer.tool_calls] == [
            ("add", {"a": 3, "b": 4})
        ]
        assert answer.response_metadata["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("tool_choice", "calls"),
    [("none", 0), ("auto", 1), ("any", 1), ("required", 1), ("add", 1), (True, 1)],
)
def test_tool_choice_decides_whether_a_tool_is_called(model, tool_choice, calls):
    bound = model.bind_tools([ADD], tool_choice=tool_choice)

    assert len(bound.invoke("add two numbers 3 and 4").tool_calls) == calls


@pytest.mark.parametrize("tool_choice", ["any", "add"])
def test_required_tool_is_called_without_matching_arguments(model, tool_choice):
    bound = model.bind_tools([ADD], tool_choice=tool_choice)

    assert [call["args"] for call in bound.invoke("Hello!").tool_calls] == [{}]


def test_quoted_text_becomes_the_string_argument(model):
    greet = {"name": "greet", "description": "greet somebody"}
    greet["parameters"] = {
        "type": "object",
        "properties": {"who": {"type": "string"}},
        "required": ["who"],
    }
    bound = model.bind_tools([{"type": "function", "function": greet}], tool_choice="greet")

    (call,) = bound.invoke("greet somebody called '你好' in Chinese").tool_calls
    assert call["args"] == {"who": "你好"}


def test_model_answers_with_the_tool_result(model):
    call = {"name": "add", "args": {"a": 3, "b": 4}, "id": "call_1"}
    messages = [
        HumanMessage("add two numbers 3 and 4"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("7", tool_call_id="call_1", name="add"),
    ]

    assert model.bind_tools([ADD]).invoke(messages).text == "7"


def test_response_ends_at_stop_sequence_and_max_tokens(model):
    assert model.invoke("hello", stop=["Ask"]).text == "Hello. "
    truncated = model.invoke("hello", max_tokens=2)
    assert truncated.text == "Hello. Ask"
    assert truncated.response_metadata["finish_reason"] == "length"
