"""Label `request_type` of the token metrics, for each origin of a run."""

import re

import pytest

from tests.metrics import read_metrics_page
from tests.services.agent.fakes import Reply, post_query

CHAT_BODY = {"messages": [{"role": "user", "content": "Hello"}]}
CLIENT_TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def read_types(client) -> dict[str, float]:
    """Return the number of model responses by request type."""
    pattern = r'gen_ai_client_token_usage_count\{.*gen_ai_token_type="input",.*?"(\w+)"\} (\S+)'
    return {name: float(count) for name, count in re.findall(pattern, read_metrics_page(client))}


def post_chat(client, headers, **fields):
    return client.post("/v1/chat/completions", json=CHAT_BODY | fields, headers=headers)


REQUESTS = {
    "query": lambda client, headers: post_query(client, headers, "Hello"),
    "stream": lambda client, headers: post_query(client, headers, "Hello", stream=True).text,
    "chat": lambda client, headers: post_query(client, headers, "Hello", origin="chat"),
    "openai": lambda client, headers: post_chat(client, headers),
}


@pytest.mark.parametrize("request_type", REQUESTS)
def test_tokens_of_a_model_are_labelled_with_the_origin_of_the_run(
    request_type, scripted_client, model, ada
):
    model.queue_replies(Reply(text="Hello."))

    REQUESTS[request_type](scripted_client, ada)

    assert read_types(scripted_client) == {request_type: 1.0}


def test_tokens_of_completions_with_client_tools_are_labelled_openai(scripted_client, model, ada):
    model.queue_replies(Reply(text="Hello."))

    post_chat(scripted_client, ada, tools=[CLIENT_TOOL])

    assert read_types(scripted_client) == {"openai": 1.0}


def test_tokens_of_answers_without_a_language_model_are_labelled(client, ada):
    post_query(client, ada, "What is 6 * 7?", stream=True).get_data()

    assert read_types(client) == {"stream": 2.0}


def test_resumed_run_keeps_the_label_of_its_request(scripted_client, model, ada):
    note = ("save_note", {"title": "Boiler", "text": "Repaired."})
    model.queue_replies(Reply(calls=[note]), Reply(text="Saved."))
    waiting = post_query(scripted_client, ada, "Save that.", origin="chat").json

    path = f"/sessions/{waiting['session_id']}/resume"
    scripted_client.post(path, json={"decision": "reject"}, headers=ada)

    assert read_types(scripted_client) == {"chat": 2.0}
