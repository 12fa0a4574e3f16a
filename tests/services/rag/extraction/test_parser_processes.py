"""Extraction processes that are forked from a server."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from backend.services.rag.errors import ExtractionFailed
from backend.services.rag.extraction.document_types import DOCUMENT_TYPES, get_document_type
from backend.services.rag.extraction.extractor import ExtractionLimits, Extractor
from backend.services.rag.extraction.parser_processes import ForkedProcesses, SpawnedProcesses
from tests.servers import wait_until
from tests.services.rag.conftest import DATA, MIB, PDF, ROOT
from tests.suite.conftest import list_descendants

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="uses pidfd_open of Linux")


@pytest.fixture
def processes():
    processes = ForkedProcesses()
    yield processes
    processes.close()


@pytest.fixture
def find_server(processes):
    """Return a function that lists the servers started by the test.

    Tests that ran earlier in this process may have left theirs.
    """
    earlier = set(list_servers())
    return lambda: [pid for pid in list_servers() if pid not in earlier]


def extract(processes, file, type_name="pdf", **limits):
    extractor = Extractor(ExtractionLimits(**limits), processes)
    return extractor.extract_text(file, get_document_type(type_name), lambda *_: None)


def list_servers():
    return [
        pid for pid, command in list_descendants(os.getpid()) if "extraction.fork_server" in command
    ]


def test_forked_processes_extract_the_same_text(processes, find_server):
    for name, type_name in [("multi_page.pdf", "pdf"), ("handbook-1p.docx", "docx")] * 2:
        forked = extract(processes, DATA / name, type_name)

        assert forked == extract(SpawnedProcesses(), DATA / name, type_name)
    assert len(find_server()) == 1


def test_forked_process_has_no_secrets_and_ends_with_its_file(
    processes, monkeypatch, find_server, tmp_path
):
    monkeypatch.setenv("SECRET_KEY", "secret")
    extract(processes, PDF)

    (server,) = find_server()
    environment = Path(f"/proc/{server}/environ").read_bytes()
    assert b"SECRET_KEY" not in environment
    wait_until(lambda: not list(list_descendants(server)))


def test_memory_limit_of_one_file_does_not_affect_others(processes, tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes(b"x" * (300 * MIB))

    with pytest.raises(ExtractionFailed, match="too much memory"):
        extract(processes, file, "text", max_memory_bytes=400 * MIB)
    assert len(extract(processes, PDF).pages) == 5


def test_forked_process_is_killed_by_its_deadline(processes, tmp_path):
    file = tmp_path / "a.txt"
    os.mkfifo(file)  # reading it blocks

    with pytest.raises(ExtractionFailed, match="too long"):
        extract(processes, file, "text", timeout_seconds=1, ocr_timeout_seconds=60)


def test_prepared_server_extracts_files_of_any_type(processes, find_server):
    processes.prepare("pdf")
    prepared = find_server()

    assert len(extract(processes, PDF).pages) == 5
    assert extract(processes, DATA / "handbook-1p.docx", "docx").pages
    assert find_server() == prepared


def test_killed_server_is_replaced(processes, find_server):
    extract(processes, PDF)
    (server,) = find_server()
    os.kill(server, signal.SIGKILL)

    assert len(extract(processes, PDF).pages) == 5


def test_file_is_not_blamed_for_the_end_of_the_server(processes, tmp_path, find_server):
    file = tmp_path / "a.txt"
    os.mkfifo(file)
    extract(processes, PDF)
    (server,) = find_server()
    killer = threading.Timer(0.5, os.kill, (server, signal.SIGKILL))
    killer.start()

    with pytest.raises(OSError, match="server has ended"):
        extract(processes, file, "text")


def test_imports_of_parsers_start_no_threads():
    code = (
        "import os, sys\n"
        "from backend.services.rag.extraction.process import import_parser\n"
        "for name in sys.argv[1:]: import_parser(name)\n"
        "print(len(os.listdir('/proc/self/task')))"
    )
    names = [document_type.name for document_type in DOCUMENT_TYPES]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

    output = subprocess.check_output(
        [sys.executable, "-c", code, *names], cwd=ROOT, env=environment
    )

    assert output.strip() == b"1"
