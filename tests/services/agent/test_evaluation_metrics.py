"""Evaluation metrics of installed packages: real distribution folders on the path."""

import json
import threading
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest

from backend.chassis.settings import Env
from backend.services.agent import __main__ as agent_main
from backend.services.agent.domain.evaluation.metrics import EvaluationMetric, MetricFailed
from tests.commands import blocks
from tests.servers import wait_until
from tests.services.agent.fakes import Reply

GROUP = "ai_agent_system.evaluation_metrics"
PAGE = Path(__file__).parents[3] / "docs" / "operations" / "evaluation-metrics.md"


def install(folder: Path, name: str, module: str, source: str, metrics: dict[str, str]) -> None:
    """Create the files of an installed distribution in *folder*."""
    information = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{metric} = {target}" for metric, target in metrics.items()]
    (information / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]) + "\n")
    (folder / f"{module}.py").write_text(source)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on the path of modules and distributions."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def evaluate(scripted_app, scripted_settings, model, tmp_path, monkeypatch, capsys):
    """Return a function that evaluates two questions and returns exit code, output and errors."""
    monkeypatch.setattr(agent_main, "create_app", lambda _: scripted_app)
    monkeypatch.setattr(agent_main, "load_env", lambda: Env({}))
    monkeypatch.setattr(agent_main.Settings, "from_env", lambda _: scripted_settings)
    file = tmp_path / "questions.jsonl"
    questions = [
        {"question": "How much is 6 times 7?", "expected": "42"},
        {"question": "Where is it?", "expected": ["In the attic.", "attic"]},
    ]
    file.write_text("\n".join(map(json.dumps, questions)))

    def run(*options):
        model.queue_replies(Reply(text="It is 42."), Reply(text="It is in the attic."))
        exit_code = agent_main.main(["evaluate", str(file), *options])
        output = capsys.readouterr()
        return exit_code, output.out, output.err

    return run


def get_rows(text: str) -> dict[str, str]:
    """Return the first table of a report: the last cell by the first one."""
    lines = [line.rsplit(maxsplit=1) for line in text.split("\n\n")[1].splitlines()]
    return {name.strip(): cell for name, cell in lines[1:]}


def test_documented_package_adds_its_metrics(site, evaluate):
    project, source = (
        next(block.text for block in blocks(PAGE) if block.language == language)
        for language in ("toml", "python")
    )
    document = tomllib.loads(project)
    metrics = document["project"]["entry-points"][GROUP]
    (module,) = document["tool"]["setuptools"]["py-modules"]
    install(site, document["project"]["name"], module, source, metrics)

    exit_code, output, _ = evaluate()

    rows = get_rows(output)
    assert exit_code == 0
    assert rows["concise"] == "100.0%"
    assert "quotes" not in rows  # no answer has sources
    assert rows["contains"] == "100.0%"


def test_metric_receives_question_expected_answers_answer_and_sources(site, evaluate):
    source = (
        "def score(question, expected, answer, sources):\n"
        "    assert question in ('How much is 6 times 7?', 'Where is it?'), question\n"
        "    assert expected in (['42'], ['In the attic.', 'attic']), expected\n"
        "    assert answer in ('It is 42.', 'It is in the attic.'), answer\n"
        "    assert sources == [], sources\n"
        "    expected.clear()\n"
        "    return 0.5\n"
    )
    install(site, "own", "own_metric", source, {"half": "own_metric:score"})

    _, output, _ = evaluate("--metrics", "half")

    assert get_rows(output)["half"] == "50.0%"
    assert get_rows(output)["contains"] == "100.0%"
    assert "metric errors" not in output


FAILING = """
import sys
def crash(question, expected, answer, sources): raise ValueError("no\\nidea")
def leave(question, expected, answer, sources): sys.exit(3)
def large(question, expected, answer, sources): return 1.7
def nan(question, expected, answer, sources): return float("nan")
def text(question, expected, answer, sources): return "good"
def huge(question, expected, answer, sources): return 10**400
def infinite(question, expected, answer, sources): return float("-inf")
class Broken:
    def __repr__(self): raise RuntimeError("no text")
class Unreadable(Exception):
    def __str__(self): raise RuntimeError("no text")
def broken(question, expected, answer, sources): return Broken()
def unreadable(question, expected, answer, sources): raise Unreadable
def few(question): return 1.0
def some(question, expected, answer, sources): return None if "attic" in answer else 1
"""


def test_failing_metrics_are_reported_for_each_answer_and_do_not_stop(site, evaluate):
    names = ("crash", "leave", "large", "nan", "huge", "infinite", "text", "broken")
    names += ("unreadable", "few", "some")
    metrics = {name: f"failing_metrics:{name}" for name in names}
    install(site, "failing", "failing_metrics", FAILING, metrics)

    exit_code, output, errors = evaluate()
    evaluation_id = output.split()[0]
    agent_main.main(["evaluate", "--show", evaluation_id])

    rows = get_rows(output)
    assert exit_code == 0
    assert rows["some"] == "100.0%"  # None does not count
    assert rows["crash"] == "-"
    assert rows["metric errors"] == "20"
    assert "crash: ValueError: no idea" in output
    assert "leave: SystemExit: 3" in output
    assert "large: 1.7 is not a number between 0 and 1" in output
    assert "nan: nan is not a number between 0 and 1" in output
    assert "huge: OverflowError: int too large" in output
    assert "infinite: -inf is not a number between 0 and 1" in output
    assert "broken: RuntimeError: no text" in output
    assert "unreadable: Unreadable" in output
    assert "text: 'good' is not a number between 0 and 1" in output
    assert "few: TypeError: few() takes 1 positional argument" in output
    assert output.count("#2  ") == 10
    assert "2/2" in errors


def test_metrics_of_a_failed_answer_count_as_zero(site, evaluate, model):
    source = "def score(*_):\n    return 1.0\n"
    install(site, "own", "one_metric", source, {"one": "one_metric:score"})
    model.queue_replies(*(Reply(status=400) for _ in range(2)))

    _, output, _ = evaluate()

    assert get_rows(output)["failed"] != "0"
    assert get_rows(output)["one"] == get_rows(output)["contains"]


def test_none_selects_only_the_metrics_of_the_suite(site, evaluate):
    install(site, "own", "bad_metric", "raise RuntimeError('broken')", {"bad": "bad_metric:score"})

    exit_code, output, _ = evaluate("--metrics", "none")

    assert exit_code == 0
    assert "bad" not in get_rows(output)


@pytest.mark.parametrize(
    ("metrics", "options", "message"),
    [
        ({}, ["--metrics", "missing"], "no evaluation metric 'missing'. Installed metrics: none"),
        ({"ok": "bad_metric:ok"}, ["--metrics", "ok,"], "no evaluation metric ''"),
        ({"bad": "absent_module:score"}, [], "cannot be imported from absent_module:score"),
        ({"bad": "bad_metric:absent"}, [], "cannot be imported from bad_metric:absent"),
        ({"value": "bad_metric:VALUE"}, [], "is not callable"),
        ({"f1": "bad_metric:ok"}, [], "needs another name"),
        ({"n" * 33: "bad_metric:ok"}, [], "needs another name"),
    ],
)
def test_unusable_metric_stops_the_command_before_the_first_question(
    site, evaluate, model, metrics, options, message
):
    install(site, "bad", "bad_metric", "VALUE = 1\ndef ok(*_): return 1\n", metrics)

    exit_code, output, errors = evaluate(*options)

    assert (exit_code, output) == (2, "")
    assert message in errors
    assert model.requests == []


def test_same_name_in_two_packages_is_rejected(site, evaluate):
    source = "def score(*_): return 1\n"
    install(site, "first", "first_metric", source, {"same": "first_metric:score"})
    install(site, "second", "second_metric", source, {"same": "second_metric:score"})

    exit_code, _, errors = evaluate()

    assert exit_code == 2
    assert "is provided by first_metric:score and second_metric:score" in errors


def test_metric_that_takes_too_long_fails_and_is_called_again_after_it_has_ended():
    may_end = threading.Event()
    calls = []

    def wait(question, *_):
        calls.append(question)
        may_end.wait(60)
        return 1.0

    metric = EvaluationMetric("slow", wait, timeout_seconds=0.05)
    with pytest.raises(MetricFailed, match=r"no score after 0\.05 s"):
        metric.score_answer("one", [], "", ())
    with pytest.raises(MetricFailed, match="previous call has not ended"):
        metric.score_answer("two", [], "", ())
    may_end.set()

    def is_called_again():
        with suppress(MetricFailed):
            return metric.score_answer("three", [], "", ()) == 1.0

    wait_until(is_called_again)
    assert "two" not in calls


def test_metric_can_be_called_again_while_the_thread_of_a_call_ends(monkeypatch):
    may_end = threading.Event()

    class LateThread(threading.Thread):
        def run(self):
            super().run()
            may_end.wait(60)

    monkeypatch.setattr(threading, "Thread", LateThread)
    metric = EvaluationMetric("length", lambda *_: 1.0)

    assert [metric.score_answer("?", [], "!", []) for _ in range(3)] == [1.0, 1.0, 1.0]
    may_end.set()


def test_metric_can_be_called_again_after_its_thread_could_not_start(monkeypatch):
    metric = EvaluationMetric("length", lambda *_: 1.0)

    def fail(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError):
            metric.score_answer("?", [], "!", [])

    assert metric.score_answer("?", [], "!", []) == 1.0
