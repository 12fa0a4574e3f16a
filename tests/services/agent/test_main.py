"""What an operator does with the agent at the command line."""

import json
from dataclasses import replace

import pytest

from backend.ai.chat_models import Address
from backend.chassis.settings import Env
from backend.services.agent import __main__ as program
from backend.services.agent.app import create_app
from tests.databases import contents
from tests.services.agent.stand_ins import Reply, ScriptedModel, WordEmbedder, ask, serving

CALCULATE = Reply(calls=[("calculate", {"expression": "6 * 7"})])


@pytest.fixture
def other():
    """A second model."""
    with serving(ScriptedModel()) as other:
        yield other


@pytest.fixture
def both(settings, model, other, monkeypatch, identities):
    """The program and the service over the same data, with two scripted models."""
    addresses = (
        Address("openai-compatible", "first", f"{model.url}/v1", "a key"),
        Address("openai-compatible", "second", f"{other.url}/v1", "a key"),
    )
    models = replace(settings.models, addresses=addresses)
    settings = replace(settings, models=models, prices={"first": (1.0, 10.0)})
    app = identities.trust(create_app(settings, embedder=WordEmbedder()))
    monkeypatch.setattr(program, "create_app", lambda _: app)
    monkeypatch.setattr(program, "load_env", lambda: Env({}))
    monkeypatch.setattr(program.Settings, "from_env", lambda _: settings)
    return app.test_client()


@pytest.fixture
def questions(tmp_path):
    """A file of two questions."""
    file = tmp_path / "questions.jsonl"
    lines = [
        {"question": "How much is 6 times 7?", "expected": "42"},
        {"input": "Where is it?", "output": ["In the attic.", "attic"]},
    ]
    file.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    return file


def column(text: str, row: str) -> list[str]:
    """The values in the row that begins with *row*."""
    line = next(line for line in text.splitlines() if line.startswith(row))
    return line.removeprefix(row).split()


def test_two_models_are_asked_the_same_and_compared(both, questions, model, other, capsys):
    model.will(CALCULATE, Reply(text="42"), Reply(text="It is in the attic."))
    other.will(Reply(text="I guess it is 41."), Reply(text="Attic!"))

    code = program.main(["evaluate", str(questions), "--models", "first,second"])

    told = capsys.readouterr()
    assert code == 0
    assert column(told.out, "exact") == ["50.0%", "50.0%"]
    assert column(told.out, "contains") == ["100.0%", "50.0%"]
    assert column(told.out, "failed") == ["0", "0"]
    assert column(told.out, "tokens read") == ["33", "22"]
    # 33 read at 1 and 21 written at 10 for a million; the second has no price.
    assert column(told.out, "cost") == ["0.0002", "-"]
    assert "second against first by f1: 1 better, 1 worse, 0 alike" in told.out
    assert [line.split()[0] for line in told.err.splitlines() if "/4" in line] == [
        "1/4",
        "2/4",
        "3/4",
        "4/4",
    ]


def test_two_prompts_are_compared_on_one_model(both, questions, model, tmp_path, capsys):
    for name, text in (("terse", "One word."), ("long", "Explain at length.")):
        (tmp_path / f"{name}.txt").write_text(text)
    model.will(*[Reply(text="42") for _ in range(4)])
    prompts = f"{tmp_path / 'terse.txt'},{tmp_path / 'long.txt'}"

    assert program.main(["evaluate", str(questions), "--prompts", prompts]) == 0

    assert "first terse" in capsys.readouterr().out
    asked = [request["messages"][0]["content"] for request in model.requests]
    assert [text.rsplit("\n", 1)[-1] for text in asked] == [
        "One word.",
        "Explain at length.",
        "One word.",
        "Explain at length.",
    ]


def test_personas_are_compared_with_their_settings(both, questions, model, capsys):
    model.will(*[Reply(text="42") for _ in range(4)])

    code = program.main(["evaluate", str(questions), "--personas", "creative,analytical"])

    assert code == 0
    assert "first creative" in capsys.readouterr().out
    assert [request["temperature"] for request in model.requests] == [0.9, 0.1, 0.9, 0.1]
    assert program.main(["evaluate", str(questions), "--personas", "nobody"]) == 2


def test_what_was_found_is_kept_and_listed(both, questions, model, capsys):
    model.will(Reply(text="42"), Reply(status=400))
    program.main(["evaluate", str(questions)])
    first = capsys.readouterr().out

    program.main(["evaluate", "--list"])
    listed = capsys.readouterr().out
    evaluation_id = listed.splitlines()[1].split()[0]
    program.main(["evaluate", "--show", evaluation_id])

    assert "done" in listed
    assert "(model_misbehaved)" in first
    assert capsys.readouterr().out == first
    assert program.main(["evaluate", "--show", "eval_none"]) == 1


def test_an_interrupt_keeps_what_was_answered(both, questions, model, capsys, monkeypatch):
    model.will(Reply(text="42"), Reply(text="Never asked."))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("backend.services.agent.jobs.evaluation._tell", interrupted)

    assert program.main(["evaluate", str(questions)]) == 130

    assert "1 of 2 questions, interrupted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        pytest.param("{", "line 1 is no JSON", id="no JSON"),
        pytest.param("[]", "line 1 is no JSON object", id="no object"),
        pytest.param('{"expected": "x"}', "none of the fields question", id="no question"),
        pytest.param('{"question": "x"}', "none of the fields expected", id="nothing expected"),
        pytest.param('{"question": 3, "expected": "x"}', "must be a text", id="a number"),
        pytest.param('{"question": "x", "expected": []}', "text or a list", id="an empty list"),
        pytest.param("", "holds no question", id="nothing"),
    ],
)
def test_a_file_without_questions_is_told_from_one_with(both, tmp_path, capsys, lines, told):
    file = tmp_path / "bad.jsonl"
    file.write_text(lines)

    assert program.main(["evaluate", str(file)]) == 2
    assert told in capsys.readouterr().err


def test_a_model_that_is_not_set_up_is_named_with_those_that_are(both, questions, capsys):
    assert program.main(["evaluate", str(questions), "--models", "third"]) == 2
    assert "first, second" in capsys.readouterr().err


def last_run(client, bearer, session_id: str) -> str:
    return client.get(f"/sessions/{session_id}", headers=bearer).json["messages"][-1]["run_id"]


def test_a_run_is_played_again_with_what_its_tools_gave_back(
    both, ada, shelf, model, other, capsys
):
    shelf.hold("The warranty lasts three years.", ada)
    search = Reply(calls=[("search_documents", {"query": "warranty"})])
    model.will(search, Reply(text="It lasts three years."))
    session_id = ask(both, ada, "How long does the warranty last?").json["session_id"]
    run_id, asked = last_run(both, ada, session_id), len(shelf.requests)

    other.will(search, Reply(text="Three."))
    assert program.main(["replay", run_id, "--model", "second"]) == 0

    told = capsys.readouterr().out
    assert column(told, "model") == ["first", "second", "*"]
    assert column(told, "step 1")[:2] == ["search_documents", '{"query":']
    assert "It lasts three years." in told.partition("again:")[0]
    assert told.rstrip().endswith("Three. [1]")
    assert len(shelf.requests) == asked  # nobody was asked again
    given_back = other.requests[-1]["messages"][-1]["content"]
    assert "The warranty lasts three years." in given_back


def test_a_played_run_does_nothing(both, ada, shelf, model, capsys):
    note = Reply(calls=[("save_note", {"title": "Warranty", "text": "Three years."})])
    model.will(note, Reply(text="Saved."))
    session_id = ask(both, ada, "Keep a note.").json["session_id"]
    both.post(f"/sessions/{session_id}/resume", json={"decision": "approve"}, headers=ada)
    assert len(shelf.uploads) == 1

    model.will(Reply(text="Saved."))
    assert program.main(["replay", last_run(both, ada, session_id)]) == 0

    assert len(shelf.uploads) == 1
    assert column(capsys.readouterr().out, "ended") == ["stop", "stop"]


def test_a_call_that_was_not_recorded_has_no_outcome(both, ada, model, capsys):
    model.will(CALCULATE, Reply(text="42"))
    run_id = last_run(both, ada, ask(both, ada, "6 times 7?").json["session_id"])

    model.will(Reply(calls=[("calculate", {"expression": "1 + 1"})]), Reply(text="2"))
    program.main(["replay", run_id])

    assert '{"expression": "1 + 1"} failed' in capsys.readouterr().out


def test_a_record_goes_with_its_session_and_holds_no_credential(both, ada, model, settings, capsys):
    model.will(Reply(text="Hello."))
    session_id = ask(both, ada, "Hello?").json["session_id"]
    run_id = last_run(both, ada, session_id)
    token = ada["Authorization"].removeprefix("Bearer ")
    kept = str(contents(settings.database_url, "agent"))
    assert run_id in kept
    assert token not in kept

    both.delete(f"/sessions/{session_id}", headers=ada)

    assert program.main(["replay", run_id]) == 1
    assert "There is no record" in capsys.readouterr().err
