"""Commands of the start script that start no process."""

import json

import pytest

from backend.chassis.observability.ecs_log_format import to_ecs
from backend.operations import command_line as command
from tests.servers import free_port


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Use folders of the test: a developer's services may be running."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("LOG_DIR", str(tmp_path / "logs"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["status"], 3, "Not running.", id="status"),
        pytest.param(["stop"], 0, "Not running.", id="stop"),
        pytest.param(["logs", "auht"], 1, "There is no log of 'auht'. Available: ", id="logs"),
        pytest.param(["serve", "unknown"], 1, "Name one service: ", id="serve"),
        pytest.param(["ready", "unknown"], 1, "Name one service: ", id="ready"),
        pytest.param(
            ["start", "--only", "unknown"], 1, "No service is called 'unknown'", id="only"
        ),
    ],
)
def test_command_that_cannot_run_prints_one_line(arguments, code, message, capsys):
    assert command.main(arguments) == code

    output = "".join(capsys.readouterr())
    assert message in output
    assert len(output.splitlines()) == 1


@pytest.mark.parametrize("name", ["auth", "auth-service", "auth_service"])
def test_logs_accepts_each_form_of_a_service_name(name, tmp_path, capsys):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "auth_service.log").write_text("first\nlast\n")

    assert command.main(["logs", name, "-n", "1"]) == 0

    assert capsys.readouterr().out == "last\n"


def test_logs_prints_the_lines_of_one_request_from_all_logs(tmp_path, capsys):
    folder = tmp_path / "logs"
    folder.mkdir()

    def line(second: int, service: str, message: str, request_id: str) -> str:
        fields = {"timestamp": f"2026-01-01T12:00:0{second}.000Z", "service": service}
        return json.dumps(fields | {"message": message, "request_id": request_id}) + "\n"

    (folder / "gateway.log.1").write_text(line(1, "gateway", "received", "abc"))
    (folder / "gateway.log").write_text(line(4, "gateway", "completed", "abc"))
    (folder / "rag_service.log").write_text(
        line(3, "rag-service", "found", "abc")
        + line(2, "rag-service", "other request", "abcd")
        + "abc, not JSON\n"
    )

    assert command.main(["logs", "--request", "abc"]) == 0
    assert [line.split("  ")[-1].strip() for line in capsys.readouterr().out.splitlines()] == [
        "received",
        "found",
        "completed",
    ]
    assert command.main(["logs", "rag", "--request", "abc"]) == 0
    assert capsys.readouterr().out.split() == ["12:00:03.000", "rag-service", "found"]
    assert command.main(["logs", "--request", "unknown"]) == 1


def test_logs_prints_the_lines_of_a_request_in_both_formats(tmp_path, capsys):
    folder = tmp_path / "logs"
    folder.mkdir()
    first = {"timestamp": "2026-01-01T12:00:01.000Z", "service": "auth-service", "message": "one"}
    second = first | {"timestamp": "2026-01-01T12:00:02.000Z", "message": "two", "exception": "E"}
    lines = [to_ecs(second | {"request_id": "abc"}), first | {"request_id": "abc"}]
    (folder / "auth_service.log").write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    assert command.main(["logs", "--request", "abc"]) == 0

    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["12:00:01.000", "auth-service", "one"],
        ["12:00:02.000", "auth-service", "two"],
        ["E"],
    ]


def test_ready_returns_1_for_a_service_that_is_not_running(monkeypatch):
    monkeypatch.setenv("AUTH_SERVICE_PORT", str(free_port()))

    assert command.main(["ready", "auth"]) == 1


def test_status_treats_an_invalid_state_file_as_not_running(tmp_path):
    folder = tmp_path / "data" / "run"
    folder.mkdir(parents=True)
    for text in ("", "[]", json.dumps({"supervisor": 1})):
        (folder / "state.json").write_text(text)
        assert command.main(["status"]) == 3
