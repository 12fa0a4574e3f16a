"""The local model with a stand-in for its server: prompts, flow, limits and cancellation."""

import json
from dataclasses import replace

import pytest

from backend.ai.chat_models import EMBEDDED, ModelAddress
from backend.ai.text.token_estimates import estimate_tokens
from backend.services.agent.app import create_app
from backend.services.agent.engine.chat_models.registry import ChatModelRegistry
from tests.services.agent.fakes import Reply, WordEmbedder, parse_events, post_query

BOAT = "The boat is called Aurora and was built in Bergen in 1931."
FAST = {"prompt_n": 200, "prompt_ms": 100, "predicted_n": 100, "predicted_ms": 100}
# 48 paragraphs of about fifty tokens, in two chunks: too long to be summarized at once.
LOG_BOOK = "\f".join(
    "\n\n".join(
        f"On day {day} the boat sailed {day * 7} miles along the coast. The wind came from the "
        f"north, and the crew repaired sail number {day}. In the evening they anchored in a bay."
        for day in days
    )
    for days in (range(1, 25), range(25, 49))
)


@pytest.fixture
def local_app(settings, model, identities):
    """An agent with the local model."""
    address = ModelAddress.for_local_model(model.url, "a secret")
    models = replace(settings.models, addresses=[address, EMBEDDED])
    app = create_app(replace(settings, models=models), embedder=WordEmbedder())
    return identities.trust(app)


@pytest.fixture
def local_client(local_app):
    return local_app.test_client()


def get_prompt(request):
    return "\n".join(message["content"] for message in request["messages"])


def query_events(client, bearer, text, **fields):
    return parse_events(post_query(client, bearer, text, stream=True, **fields))


def test_question_is_answered_with_one_short_prompt(local_client, model, rag_service, ada):
    filler = " ".join(f"Harbour number {number} is small and quiet." for number in range(300))
    rag_service.add_document(f"{filler} {BOAT} {filler}", ada)
    model.queue_replies(Reply(text="In Bergen, in 1931."))

    events = query_events(local_client, ada, "Where was the boat Aurora built?")

    (request,) = model.requests
    prompt = get_prompt(request)
    assert BOAT in prompt
    assert estimate_tokens(prompt) < 600
    assert request["stream"] is True
    done = events[-1][1]
    assert done["model"] == "embedded-local"
    assert done["response"].startswith("In Bergen, in 1931.")
    assert done["citations"][0]["quote"] in BOAT
    assert [step["tool"] for step in done["steps"]] == ["search_documents"]
    assert done["usage"]["completion_tokens"] == 7


def test_system_prompt_of_questions_is_constant(local_client, model, rag_service, ada):
    rag_service.add_document(BOAT, ada)

    for question in ("Where was the boat built?", "When was the boat built?"):
        post_query(local_client, ada, question)

    first, second = (request["messages"][0] for request in model.requests)
    assert first == second
    assert first["role"] == "system"


@pytest.mark.parametrize(
    ("request_", "response"),
    [("What is 6 times 7?", "6 * 7 = 42"), ("hello", "Hello.")],
)
def test_local_model_is_not_called_for_requests_that_rules_answer(
    local_client, model, ada, request_, response
):
    assert post_query(local_client, ada, request_).json["response"].startswith(response)
    assert model.requests == []


def test_local_model_is_not_called_if_no_passage_is_related(local_client, model, rag_service, ada):
    rag_service.add_document(BOAT, ada)

    answer = post_query(local_client, ada, "What does quantum cryptography cost?").json

    assert answer["response"].startswith("I found nothing")
    assert model.requests == []


def test_question_in_another_language_is_answered_in_it(local_client, model, rag_service, ada):
    rag_service.add_document(BOAT, ada)
    model.queue_replies(Reply(text="In Bergen."))

    post_query(local_client, ada, "Wo wurde das Schiff gebaut und wann war das?")

    assert get_prompt(model.requests[0]).endswith("Answer in German.")


def test_free_writing_needs_no_documents(local_client, model, ada):
    model.queue_replies(Reply(text="Waves fold into foam"))

    answer = post_query(local_client, ada, "Write a haiku about the sea").json

    assert answer["response"] == "Waves fold into foam"
    assert answer["steps"] == []
    assert model.requests[0]["messages"][-1]["content"] == "Write a haiku about the sea"


def test_text_about_documents_gets_their_passages(local_client, model, rag_service, ada):
    rag_service.add_document(BOAT, ada)
    model.queue_replies(Reply(text="Dear guests"))

    post_query(local_client, ada, "Write an invitation to our boat")

    assert BOAT in get_prompt(model.requests[0])


@pytest.mark.parametrize(
    ("kind", "response"), [("creative", "Rain and roses"), ("facts", "I found nothing")]
)
def test_model_classifies_instructions_without_related_passages(
    local_client, model, rag_service, ada, kind, response
):
    rag_service.add_document(BOAT, ada)
    model.queue_replies(Reply(text=json.dumps({"kind": kind})), Reply(text="Rain and roses"))

    answer = post_query(local_client, ada, "Something rhyming with umbrella noses, please").json

    assert answer["response"].startswith(response)
    assert model.requests[0]["json_schema"]["properties"]["kind"]["enum"] == ["creative", "facts"]


def test_follow_up_prompt_contains_the_previous_answer(local_client, model, rag_service, ada):
    rag_service.add_document(BOAT, ada)
    model.queue_replies(Reply(text="In Bergen."), Reply(text="In 1931."))
    first = post_query(local_client, ada, "Where was the boat built?").json

    answer = post_query(local_client, ada, "And when?", session_id=first["session_id"]).json

    assert answer["response"].startswith("In 1931.")
    prompt = get_prompt(model.requests[1])
    assert "Where was the boat built?" in prompt
    assert "In Bergen." in prompt
    assert estimate_tokens(prompt) < 600


def test_revision_changes_the_previous_answer_without_a_search(
    local_client, model, rag_service, ada
):
    rag_service.add_document(BOAT, ada)
    model.queue_replies(Reply(text="The boat was built in Bergen."), Reply(text="In Bergen."))
    first = post_query(local_client, ada, "Where was the boat built?").json

    answer = post_query(local_client, ada, "Shorter, please", session_id=first["session_id"]).json

    assert answer["steps"] == []
    roles = [message["role"] for message in model.requests[1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


def test_short_document_is_summarized_in_one_call(local_client, model, rag_service, ada):
    rag_service.add_document(BOAT, ada)
    model.queue_replies(Reply(text="A boat from Bergen."))

    events = query_events(local_client, ada, "Summarise the document")

    (request,) = model.requests
    assert BOAT in get_prompt(request)
    assert ("progress", {"stage": "reading", "done": 11, "total": 11}) in events
    assert events[-1][1]["response"].startswith("A boat from Bergen.")
    assert [step["tool"] for step in events[-1][1]["steps"]] == ["list_documents", "read_document"]


def test_long_document_is_summarized_part_by_part_with_progress(
    local_client, model, rag_service, ada
):
    rag_service.add_document(LOG_BOOK, ada)
    model.default_reply = Reply(text="A note about a voyage.", timings=FAST)
    post_query(local_client, ada, "Write a haiku about the sea")
    model.requests.clear()

    events = query_events(local_client, ada, "Summarise the document")

    *part_requests, last_request = model.requests
    assert len(part_requests) >= 2
    assert all(estimate_tokens(get_prompt(request)) < 900 for request in part_requests)
    assert "day 1 the" in get_prompt(part_requests[0])
    assert "day 48 the" in get_prompt(part_requests[-1])
    assert get_prompt(last_request).count("A note about a voyage.") == len(part_requests)
    progress = [data for name, data in events if name == "progress"]
    total = len(part_requests) + 1
    assert progress == [
        {"stage": "parts", "done": done, "total": total} for done in range(len(part_requests) + 1)
    ]
    assert events[-1][1]["usage"]["completion_tokens"] == 7 * len(model.requests)


def test_long_document_is_shortened_on_a_slow_host(local_client, model, rag_service, ada):
    rag_service.add_document(LOG_BOOK, ada)

    query_events(local_client, ada, "Summarise the document")

    (request,) = model.requests
    assert estimate_tokens(get_prompt(request)) < 2_000
    assert "day 1 the" in get_prompt(request)
    assert "day 48 the" in get_prompt(request)


def test_named_document_is_summarized(local_client, model, rag_service, ada):
    rag_service.add_document("The newest document is about bread.", ada, filename="bread.md")
    rag_service.add_document(BOAT, ada, filename="aurora.md")

    post_query(local_client, ada, "Summarize aurora.md")

    assert BOAT in get_prompt(model.requests[0])
    assert "bread" not in get_prompt(model.requests[0])


def test_summary_without_documents_says_so(local_client, model, ada):
    answer = post_query(local_client, ada, "Summarise the document").json

    assert answer["response"] == "There are no documents yet."
    assert model.requests == []


def test_run_limit_follows_the_measured_speed(settings, model, local_app, ada):
    address = ModelAddress.for_local_model(model.url, "a secret")
    registry = ChatModelRegistry(replace(settings.models, addresses=[address]), planner=None)
    configured = settings.limits.run_timeout
    local_model = registry.get_chat_model(address.id)

    assert registry.get_run_timeout(address.id, configured) > configured
    local_model.inner.speed.record_timings(
        {"prompt_n": 1_000, "prompt_ms": 100, "predicted_n": 1_000, "predicted_ms": 100}
    )
    assert registry.get_run_timeout(address.id, configured) == configured


def test_server_that_stalls_returns_504_after_the_measured_time(
    local_client, model, rag_service, ada
):
    rag_service.add_document(BOAT, ada)
    fast = {"prompt_n": 9_000, "prompt_ms": 9, "predicted_n": 9_000, "predicted_ms": 9}
    model.queue_replies(
        Reply(text="In Bergen.", timings=fast), Reply(text="In 1931.", pause_seconds=8)
    )
    post_query(local_client, ada, "Where was the boat built?")

    response = post_query(local_client, ada, "When was the boat built?")

    assert (response.status_code, response.json["code"]) == (504, "model_timeout")


def test_cancelled_answer_closes_the_connection_to_the_server(
    local_client, model, rag_service, ada
):
    rag_service.add_document(BOAT, ada)
    model.queue_replies(Reply(text="one two three four five six", pause_seconds=0.2))
    response = post_query(local_client, ada, "Where was the boat built?", stream=True)
    for chunk in response.response:
        if b"event: token" in chunk:
            break

    response.close()

    assert model.client_disconnected.wait(timeout=20)


@pytest.mark.parametrize(
    "replies",
    [
        # The client library repeats a request after an error status.
        pytest.param([Reply(status=500)] * 3, id="error status"),
        pytest.param([Reply(text="In", sends_error_event=True)], id="error event"),
        pytest.param([Reply(text="In Bergen", disconnects=True)], id="disconnect"),
    ],
)
def test_failure_of_the_server_is_reported(local_client, model, rag_service, ada, replies):
    rag_service.add_document(BOAT, ada)
    model.queue_replies(*replies)

    assert post_query(local_client, ada, "Where was the boat built?").status_code == 503


CLIENT_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "send_message",
            "description": "Send a message to a person.",
            "parameters": {
                "type": "object",
                "properties": {"to": {"type": "string"}, "text": {"type": "string"}},
                "required": ["to", "text"],
            },
        },
    }
]


def complete_chat(client, bearer, **fields):
    body = {"messages": [{"role": "user", "content": "Send a message to Bo: dinner at six"}]}
    return client.post("/v1/chat/completions", json=body | fields, headers=bearer).json


def test_local_model_calls_tools_of_clients_by_schema(local_client, model, ada):
    arguments = {"to": "Bo", "text": "dinner at six"}
    model.queue_replies(Reply(text=json.dumps({"tool": "send_message", "arguments": arguments})))

    response = complete_chat(local_client, ada, tools=CLIENT_TOOLS)

    (call,) = response["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "send_message"
    assert json.loads(call["function"]["arguments"]) == arguments
    schemas = model.requests[0]["json_schema"]["anyOf"]
    assert [schema["properties"]["tool"]["const"] for schema in schemas] == [
        "send_message",
        "answer_directly",
    ]
    assert estimate_tokens(get_prompt(model.requests[0])) < 600


@pytest.mark.parametrize(
    "choice",
    [
        pytest.param(Reply(text='{"tool": "send_mess', finish_reason="length"), id="truncated"),
        pytest.param(Reply(status=400), id="unsupported schema"),
    ],
)
def test_planner_chooses_the_tool_if_the_local_model_fails(local_client, model, ada, choice):
    model.queue_replies(choice, Reply(text="I cannot."))

    response = complete_chat(local_client, ada, tools=CLIENT_TOOLS)

    assert response["choices"][0]["finish_reason"] in {"stop", "tool_calls"}


def test_local_model_answers_from_the_result_of_a_client_tool(local_client, model, ada):
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": "{}"},
    }
    messages = [
        {"role": "user", "content": "How is the weather in Oslo?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "snow, -4 degrees"},
    ]
    model.queue_replies(Reply(text="It snows."))

    response = complete_chat(local_client, ada, messages=messages, tools=CLIENT_TOOLS)

    assert response["choices"][0]["message"]["content"] == "It snows."
    assert "snow, -4 degrees" in get_prompt(model.requests[0])


def test_key_of_the_local_model_depends_on_the_secret(model):
    one, another = (
        ModelAddress.for_local_model(model.url, secret) for secret in ("a secret", "another")
    )

    assert one.key != another.key
    assert one.key not in repr(one)


def test_unreachable_local_model_returns_503_without_fallback(settings, identities, ada):
    address = ModelAddress.for_local_model("http://127.0.0.1:9", "a secret")
    models = replace(settings.models, addresses=[address, EMBEDDED])
    app = create_app(replace(settings, models=models), embedder=WordEmbedder())
    client = identities.trust(app).test_client()

    response = post_query(client, ada, "Write a haiku about the sea")

    assert (response.status_code, response.json["code"]) == (503, "model_unavailable")


@pytest.mark.parametrize(
    ("provider", "name", "is_small"),
    [
        ("ollama", "qwen3:1.7b", True),
        ("ollama", "smollm2:360m", True),
        ("openai-compatible", "llama-3.2-3b-instruct", True),
        ("ollama", "llama3.1:8b", False),
        ("ollama", "qwen3:14b", False),
        ("openai-compatible", "mixtral-8x7b", False),
        ("ollama", "mistral", False),
        ("openai", "gpt-2b", False),
        ("anthropic", "claude-3b", False),
    ],
)
def test_small_self_hosted_models_are_recognised_by_their_name(provider, name, is_small):
    assert ModelAddress(provider, name).is_small == is_small
