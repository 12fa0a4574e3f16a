"""The commands `normalise` and `check-payloads`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backend.services.chat.__main__ import main

FOLDER = Path(__file__).parents[3] / "data" / "channels"


def test_normalise_prints_one_line_for_each_file(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["twilio--chatwoot-text.json", "twilio--chatwoot-status-failed.json"]

    code = main(["normalise", "--channel", "twilio", *(str(FOLDER / name) for name in names)])

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert [line["file"] for line in lines] == names
    assert lines[1]["events"][0]["status"] == "failed"


def test_normalise_uses_the_settings_of_the_account(capsys: pytest.CaptureFixture[str]) -> None:
    file = FOLDER / "twilio--chatwoot-text.json"

    main(["normalise", "--channel", "twilio", "--account", '{"account_sid": "AC2"}', str(file)])

    event = json.loads(capsys.readouterr().out)["events"][0]
    assert event == {"kind": "ignored", "reason": "other_account"}


def test_normalise_reports_an_unreadable_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "broken.json"
    file.write_text("{")

    code = main(["normalise", "--channel", "slack", str(file)])

    assert code == 1
    assert json.loads(capsys.readouterr().out) == {
        "file": "broken.json",
        "events": [],
        "error": "The body is not valid JSON.",
    }


def test_normalise_reads_a_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "form"
    file.write_text("MessageSid=SM1&From=%2B15550100&Body=Gr%C3%BC%C3%9Fe")

    main(["normalise", "--channel", "twilio", str(file)])

    event = json.loads(capsys.readouterr().out)["events"][0]
    assert event["content"]["text"] == "Grüße"


def test_check_payloads_accepts_the_recorded_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-payloads", str(FOLDER)]) == 0
    assert capsys.readouterr().out.endswith("111 of 111 payloads as expected.\n")


def test_check_payloads_shows_a_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "twilio--chatwoot-text.json"
    shutil.copy(FOLDER / name, tmp_path)
    entry = next(
        entry
        for entry in json.loads((FOLDER / "manifest.json").read_bytes())
        if entry["file"] == name
    )
    entry["expect"][0]["content"]["text"] = "other"
    del entry["expect"][0]["via"]
    (tmp_path / "manifest.json").write_text(json.dumps([entry]))

    code = main(["check-payloads", str(tmp_path)])

    output = capsys.readouterr().out
    assert code == 1
    assert '[0].content.text: expected "other", found "testing3"' in output
    assert '[0].via: found "sms", expected nothing' in output
    assert output.endswith("0 of 1 payloads as expected.\n")


def test_check_payloads_reports_a_missing_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-payloads", str(tmp_path)]) == 1
    assert "manifest.json cannot be read" in capsys.readouterr().err


def test_commands_import_no_database_and_no_web_framework() -> None:
    code = "import sys, backend.services.chat.jobs.check_payloads; print(*sys.modules)"

    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()

    assert not {"sqlalchemy", "flask", "pydantic"} & set(modules)
