"""The words of the start script, on the project's own catalog, without starting anything."""

import json

import pytest

from backend.operations import __main__ as command
from backend.operations.doctor import report
from backend.operations.supervisor.environment import Variables
from backend.operations.supervisor.plan import make_plan
from tests.servers import free_port


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Nothing here may touch what a developer runs."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("LOG_DIR", str(tmp_path / "logs"))


@pytest.mark.parametrize(
    ("words", "answer", "said"),
    [
        pytest.param(["status"], 3, "Not running.", id="status"),
        pytest.param(["stop"], 0, "Nothing runs.", id="stop"),
        pytest.param(["logs", "auht"], 1, "There is no log of 'auht'; there are", id="logs"),
        pytest.param(["serve"], 1, "Name one service: ", id="serve"),
        pytest.param(["ready", "nobody"], 1, "Name one service: ", id="ready"),
        pytest.param(["start", "--only", "nobody"], 1, "No service is called 'nobody'", id="only"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(words, answer, said, capsys):
    assert command.main(words) == answer

    heard = "".join(capsys.readouterr())
    assert said in heard
    assert len(heard.splitlines()) == 1


@pytest.mark.parametrize("name", ["auth", "auth-service", "auth_service"])
def test_a_log_is_found_by_each_of_its_services_names(name, tmp_path, capsys):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "auth_service.log").write_text("first\nlast\n")

    assert command.main(["logs", name, "-n", "1"]) == 0

    assert capsys.readouterr().out == "last\n"


def test_one_request_is_followed_through_all_logs(tmp_path, capsys):
    folder = tmp_path / "logs"
    folder.mkdir()

    def line(second: int, service: str, message: str, request_id: str) -> str:
        said = {"timestamp": f"2026-01-01T12:00:0{second}.000Z", "service": service}
        return json.dumps(said | {"message": message, "request_id": request_id}) + "\n"

    (folder / "gateway.log.1").write_text(line(1, "gateway", "it comes", "abc"))
    (folder / "gateway.log").write_text(line(4, "gateway", "it went", "abc"))
    (folder / "rag_service.log").write_text(
        line(3, "rag-service", "found", "abc")
        + line(2, "rag-service", "another's", "abcd")
        + "abc, and no JSON\n"
    )

    assert command.main(["logs", "--request", "abc"]) == 0
    assert [each.split("  ")[-1].strip() for each in capsys.readouterr().out.splitlines()] == [
        "it comes",
        "found",
        "it went",
    ]
    assert command.main(["logs", "rag", "--request", "abc"]) == 0
    assert capsys.readouterr().out.split() == ["12:00:03.000", "rag-service", "found"]
    assert command.main(["logs", "--request", "nobody's"]) == 1


def test_a_service_that_does_not_run_is_not_ready(monkeypatch):
    monkeypatch.setenv("AUTH_SERVICE_PORT", str(free_port()))

    assert command.main(["ready", "auth"]) == 1


def test_a_state_that_makes_no_sense_counts_as_none(tmp_path):
    folder = tmp_path / "data" / "run"
    folder.mkdir(parents=True)
    for text in ("", "[]", json.dumps({"supervisor": 1})):
        (folder / "state.json").write_text(text)
        assert command.main(["status"]) == 3


def examined(capsys, **written: str) -> str:
    variables = Variables({}, written)
    report.examine(command.ROOT, make_plan(command.ROOT, variables), variables)
    return capsys.readouterr().out


def test_the_doctor_tells_each_setting_with_its_origin_and_shows_no_secret(capsys):
    told = examined(
        capsys,
        RATE_LIMIT_API="7/minute",
        LLM_API_KEY="sk-very-secret",
        DATABASE_URL="postgresql://app:hidden@db/app",
    )

    lines = {line.split()[0]: line.split()[1:] for line in told.splitlines() if line.strip()}
    assert lines["RATE_LIMIT_API"] == ["7/minute", ".env"]
    assert lines["RATE_LIMIT_AUTH"] == ["10/minute", "default"]
    assert "very-secret" not in told
    assert "hidden" not in told


def test_the_doctor_names_a_setting_that_nothing_reads(capsys):
    assert "RATE_LIMITS_API stands in .env" in examined(capsys, RATE_LIMITS_API="7/minute")
