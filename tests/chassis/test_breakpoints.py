"""`breakpoint()` with and without a terminal, and the debugger of Flask's debug mode."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.servers import free_port, wait_until

ROOT = Path(__file__).parents[2]
CODE = """
import logging
from backend.chassis.breakpoints import explain_breakpoints
logging.basicConfig()
explain_breakpoints("backend.services.rag.app")
breakpoint()
print("continued")
"""


def test_breakpoint_without_a_terminal_is_skipped_with_advice():
    process = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )

    assert process.stdout == "continued\n"
    assert "FLASK_DEBUG=1 python -m backend.services.rag.app" in process.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
def test_breakpoint_on_a_terminal_starts_the_debugger():
    controller, terminal = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", CODE], cwd=ROOT, stdin=terminal, stdout=subprocess.PIPE
    ) as process:
        os.write(controller, b"p 6 * 7\ncontinue\n")
        output, _ = process.communicate(timeout=30)
    os.close(terminal)
    os.close(controller)

    assert b"(Pdb) 42" in output
    assert output.endswith(b"continued\n")


def test_debug_mode_logs_the_pin_of_the_debugger_and_no_second_access_log(tmp_path):
    port = free_port()
    settings = {"ADMIN_SERVICE_PORT": str(port), "FLASK_DEBUG": "1", "DATA_DIR": str(tmp_path)}
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.services.admin.app"],
            cwd=ROOT,
            env=os.environ | settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: "Debugger PIN: " in log.read_text(), 40)
        requests.get(f"http://127.0.0.1:{port}/info", timeout=10)
        wait_until(lambda: "GET /info" in log.read_text())
    finally:
        process.terminate()
        process.wait()

    assert log.read_text().count("GET /info") == 1
