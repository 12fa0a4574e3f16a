"""Commands of the agent service: evaluate and replay."""

import json
from dataclasses import replace

import pytest

from backend.ai.chat_models import ModelAddress
from backend.chassis.settings import Env
from backend.services.agent import __main__ as agent_main
from backend.services.agent.app import create_app
from tests.databases import contents
from tests.services.agent.fakes import Reply, ScriptedModel, WordEmbedder, post_query, run_server

CALCULATE = Reply(calls=[("calculate", {"expression": "6 * 7"})])


@pytest.fixture
def second_model():
    """Another scripted model."""
    with run_server(ScriptedModel()) as second_model:
        yield second_model


@pytest.fixture
def client(settings, model, second_model, monkeypatch, identities):
    """A client of the service; the commands use the same app and data. It has two models."""
    addresses = (
        ModelAddress("openai-compatible", "first", f"{model.url}/v1", "a key"),
        ModelAddress("openai-compatible", "second", f"{second_model.url}/v1", "a key"),
    )
    models = replace(settings.models, addresses=addresses)
    settings = replace(settings, models=models, prices={"first": (1.0, 10.0)})
    app = identities.trust(create_app(settings, embedder=WordEmbedder()))
    monkeypatch.setattr(agent_main, "create_app", lambda _: app)
    monkeypatch.setattr(agent_main, "load_env", lambda: Env({}))
    monkeypatch.setattr(agent_main.Settings, "from_env", lambda _: settings)
    return app.test_client()


@pytest.fixture
def questions(tmp_path):
    """A file with two questions."""
    file = tmp_path / "questions.jsonl"
    lines = [
        {"question": "How much is 6 times 7?", "expected": "42"},
        {"input": "Where is it?", "output": ["In the attic.", "attic"]},
    ]
    file.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    return file


def get_row(text: str, name: str) -> list[str]:
    """Return the cells of the table row *name*."""
    line = next(line for line in text.splitlines() if line.startswith(name))
    return line.removeprefix(name).split()


def test_evaluate_compares_two_models(client, questions, model, second_model, capsys):
    model.queue_replies(CALCULATE, Reply(text="42"), Reply(text="It is in the attic."))
    second_model.queue_replies(Reply(text="I guess it is 41."), Reply(text="Attic!"))

    exit_code = agent_main.main(["evaluate", str(questions), "--models", "first,second"])

    output = capsys.readouterr()
    assert exit_code == 0
    assert get_row(output.out, "exact") == ["50.0%", "50.0%"]
    assert get_row(output.out, "contains") == ["100.0%", "50.0%"]
    assert get_row(output.out, "failed") == ["0", "0"]
    assert get_row(output.out, "tokens read") == ["33", "22"]
    # 33 prompt tokens at 1 and 21 completion tokens at 10 per million. The second has no price.
    assert get_row(output.out, "cost") == ["0.0002", "-"]
    assert "second against first by f1: 1 better, 1 worse, 0 alike" in output.out
    assert [line.split()[0] for line in output.err.splitlines() if "/4" in line] == [
        "1/4",
        "2/4",
        "3/4",
        "4/4",
    ]


def test_evaluate_compares_two_prompts(client, questions, model, tmp_path, capsys):
    for name, text in (("terse", "One word."), ("long", "Explain at length.")):
        (tmp_path / f"{name}.txt").write_text(text)
    model.queue_replies(*[Reply(text="42") for _ in range(4)])
    prompts = f"{tmp_path / 'terse.txt'},{tmp_path / 'long.txt'}"

    assert agent_main.main(["evaluate", str(questions), "--prompts", prompts]) == 0

    assert "first terse" in capsys.readouterr().out
    prompts = [request["messages"][0]["content"] for request in model.requests]
    assert [text.rsplit("\n", 1)[-1] for text in prompts] == [
        "One word.",
        "Explain at length.",
        "One word.",
        "Explain at length.",
    ]


def test_evaluate_compares_personas_with_their_settings(client, questions, model, capsys):
    model.queue_replies(*[Reply(text="42") for _ in range(4)])

    exit_code = agent_main.main(["evaluate", str(questions), "--personas", "creative,analytical"])

    assert exit_code == 0
    assert "first creative" in capsys.readouterr().out
    assert [request["temperature"] for request in model.requests] == [0.9, 0.1, 0.9, 0.1]
    assert agent_main.main(["evaluate", str(questions), "--personas", "unknown"]) == 2


def test_evaluation_is_stored_and_listed(client, questions, model, capsys):
    model.queue_replies(Reply(text="42"), Reply(status=400))
    agent_main.main(["evaluate", str(questions)])
    report = capsys.readouterr().out

    agent_main.main(["evaluate", "--list"])
    listing = capsys.readouterr().out
    evaluation_id = listing.splitlines()[1].split()[0]
    agent_main.main(["evaluate", "--show", evaluation_id])

    assert "done" in listing
    assert "(model_misbehaved)" in report
    assert capsys.readouterr().out == report
    assert agent_main.main(["evaluate", "--show", "eval_none"]) == 1


def test_interrupted_evaluation_keeps_its_answers(client, questions, model, capsys, monkeypatch):
    model.queue_replies(Reply(text="42"), Reply(text="Never asked."))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("backend.services.agent.jobs.evaluation._print_progress", interrupt)

    assert agent_main.main(["evaluate", str(questions)]) == 130

    assert "1 of 2 questions, interrupted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param("{", "line 1 is not valid JSON", id="invalid JSON"),
        pytest.param("[]", "line 1 is not a JSON object", id="array"),
        pytest.param('{"expected": "x"}', "none of the fields question", id="no question"),
        pytest.param('{"question": "x"}', "none of the fields expected", id="no expected answer"),
        pytest.param(
            '{"question": 3, "expected": "x"}',
            "must be a non-empty string",
            id="number as question",
        ),
        pytest.param(
            '{"question": "x", "expected": []}', "string or a list", id="empty list of answers"
        ),
        pytest.param("", "contains no questions", id="empty file"),
    ],
)
def test_evaluate_rejects_an_invalid_file(client, tmp_path, capsys, lines, message):
    file = tmp_path / "bad.jsonl"
    file.write_text(lines)

    assert agent_main.main(["evaluate", str(file)]) == 2
    assert message in capsys.readouterr().err


def test_unknown_model_error_lists_the_configured_models(client, questions, capsys):
    assert agent_main.main(["evaluate", str(questions), "--models", "third"]) == 2
    assert "first, second" in capsys.readouterr().err


def get_last_run_id(client, bearer, session_id: str) -> str:
    return client.get(f"/sessions/{session_id}", headers=bearer).json["messages"][-1]["run_id"]


def test_replay_uses_the_recorded_tool_results(
    client, ada, rag_service, model, second_model, capsys
):
    rag_service.add_document("The warranty lasts three years.", ada)
    search = Reply(calls=[("search_documents", {"query": "warranty"})])
    model.queue_replies(search, Reply(text="It lasts three years."))
    session_id = post_query(client, ada, "How long does the warranty last?").json["session_id"]
    run_id, request_count = get_last_run_id(client, ada, session_id), len(rag_service.requests)

    second_model.queue_replies(search, Reply(text="Three."))
    assert agent_main.main(["replay", run_id, "--model", "second"]) == 0

    output = capsys.readouterr().out
    assert get_row(output, "model") == ["first", "second", "*"]
    assert get_row(output, "step 1")[:2] == ["search_documents", '{"query":']
    assert "It lasts three years." in output.partition("again:")[0]
    assert output.rstrip().endswith("Three. [1]")
    assert len(rag_service.requests) == request_count  # no new requests
    tool_message = second_model.requests[-1]["messages"][-1]["content"]
    assert "The warranty lasts three years." in tool_message


def test_replay_has_no_side_effects(client, ada, rag_service, model, capsys):
    note = Reply(calls=[("save_note", {"title": "Warranty", "text": "Three years."})])
    model.queue_replies(note, Reply(text="Saved."))
    session_id = post_query(client, ada, "Keep a note.").json["session_id"]
    client.post(f"/sessions/{session_id}/resume", json={"decision": "approve"}, headers=ada)
    assert len(rag_service.uploads) == 1

    model.queue_replies(Reply(text="Saved."))
    assert agent_main.main(["replay", get_last_run_id(client, ada, session_id)]) == 0

    assert len(rag_service.uploads) == 1
    assert get_row(capsys.readouterr().out, "finish reason") == ["stop", "stop"]


def test_replay_reports_an_unrecorded_call_as_failed(client, ada, model, capsys):
    model.queue_replies(CALCULATE, Reply(text="42"))
    run_id = get_last_run_id(client, ada, post_query(client, ada, "6 times 7?").json["session_id"])

    model.queue_replies(Reply(calls=[("calculate", {"expression": "1 + 1"})]), Reply(text="2"))
    agent_main.main(["replay", run_id])

    assert '{"expression": "1 + 1"} failed' in capsys.readouterr().out


def test_record_is_deleted_with_its_session_and_contains_no_token(
    client, ada, model, settings, capsys
):
    model.queue_replies(Reply(text="Hello."))
    session_id = post_query(client, ada, "Hello?").json["session_id"]
    run_id = get_last_run_id(client, ada, session_id)
    token = ada["Authorization"].removeprefix("Bearer ")
    stored = str(contents(settings.database_url, "agent"))
    assert run_id in stored
    assert token not in stored

    client.delete(f"/sessions/{session_id}", headers=ada)

    assert agent_main.main(["replay", run_id]) == 1
    assert "There is no record" in capsys.readouterr().err
