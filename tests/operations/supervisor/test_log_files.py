"""Log files: last lines, rotation, search, following."""

import json
from itertools import islice
from pathlib import Path
from threading import Timer

from backend.operations.supervisor import log_files


def test_last_lines_start_at_the_offset(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("old\n")
    before = log.stat().st_size
    with log.open("a") as file:
        file.writelines(f"line {number}\n" for number in range(100))

    assert log_files.read_last_lines(log, 2) == ["line 98", "line 99"]
    assert log_files.read_last_lines(log, 200, offset=before)[0] == "line 0"
    assert log_files.read_last_lines(tmp_path / "none.log", 5) == []


def test_large_log_is_rotated_while_its_writer_keeps_it_open(tmp_path):
    log = tmp_path / "a.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"more than ten bytes\n")
        log_files.rotate_log(log, 10)
        writer.write(b"next\n")
        log_files.rotate_log(log, 10)

    assert log.read_text() == "next\n"
    assert (tmp_path / "a.log.1").read_text() == "more than ten bytes\n"


def test_three_rotated_files_are_kept(tmp_path):
    log = tmp_path / "a.log"
    for number in range(6):
        append(log, f"file {number}\n")
        log_files.rotate_log(log, 3)

    rotated = [(tmp_path / f"a.log.{number}").read_text() for number in (1, 2, 3)]
    assert rotated == ["file 5\n", "file 4\n", "file 3\n"]
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "a.log",
        *(f"a.log.{n}" for n in (1, 2, 3)),
    ]


def test_request_lines_are_found_once_in_all_files_and_instances(tmp_path):
    def line(second: int, **fields: str) -> str:
        return json.dumps({"timestamp": f"2026-01-01T00:00:0{second}.000Z", **fields}) + "\n"

    duplicate = line(2, service="rag-service", message="copied", trace_id="t")
    append(tmp_path / "rag_service.log.3", line(1, service="rag-service", request_id="t"))
    append(tmp_path / "rag_service.log.1", duplicate)
    append(tmp_path / "rag_service.log", duplicate)
    append(tmp_path / "rag_service_2.log", line(3, service="rag-service", trace_id="t"))

    entries = log_files.find_request_lines(
        [tmp_path / "rag_service.log", tmp_path / "rag_service_2.log"], "t"
    )

    assert [entry["service"] for entry in entries] == [
        "rag-service",
        "rag-service",
        "rag-service-2",
    ]


def test_terminal_control_characters_are_escaped(tmp_path):
    append(tmp_path / "a.log", "\x1b[2J gone\u2028 and on\n")

    assert log_files.read_last_lines(tmp_path / "a.log", 5) == [r"\x1b[2J gone\u2028 and on"]


def test_follow_yields_complete_lines(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("before\n")
    lines = log_files.follow_logs([log], poll_seconds=0.01)
    writer = Timer(0.2, lambda: append(log, "one\ntwo\nhal"))
    writer.start()

    assert [line for _, line in islice(lines, 2)] == ["one", "two"]

    writer.join()
    append(log, "f\n")
    assert next(lines) == (log, "half")


def append(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)
