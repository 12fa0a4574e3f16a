"""Log files: their ends, and their bound."""

import json
from itertools import islice
from pathlib import Path
from threading import Timer

from backend.operations.supervisor import log_files


def test_the_last_lines_are_those_since_a_start(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("old\n")
    before = log.stat().st_size
    with log.open("a") as file:
        file.writelines(f"line {number}\n" for number in range(100))

    assert log_files.last_lines(log, 2) == ["line 98", "line 99"]
    assert log_files.last_lines(log, 200, beyond=before)[0] == "line 0"
    assert log_files.last_lines(tmp_path / "none.log", 5) == []


def test_a_large_log_is_kept_aside_once_and_its_writer_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(log_files, "LARGEST", 10)
    log = tmp_path / "a.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"more than ten bytes\n")
        log_files.trim(log)
        writer.write(b"next\n")
        log_files.trim(log)

    assert log.read_text() == "next\n"
    assert (tmp_path / "a.log.1").read_text() == "more than ten bytes\n"


def test_three_earlier_pieces_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(log_files, "LARGEST", 3)
    log = tmp_path / "a.log"
    for number in range(6):
        append(log, f"piece {number}\n")
        log_files.trim(log)

    kept = [(tmp_path / f"a.log.{number}").read_text() for number in (1, 2, 3)]
    assert kept == ["piece 5\n", "piece 4\n", "piece 3\n"]
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "a.log",
        *(f"a.log.{n}" for n in (1, 2, 3)),
    ]


def test_a_request_is_found_in_every_piece_and_in_every_instance_and_told_once(tmp_path):
    def line(second: int, **said: str) -> str:
        return json.dumps({"timestamp": f"2026-01-01T00:00:0{second}.000Z", **said}) + "\n"

    twice = line(2, service="rag-service", message="copied", trace_id="t")
    append(tmp_path / "rag_service.log.3", line(1, service="rag-service", request_id="t"))
    append(tmp_path / "rag_service.log.1", twice)
    append(tmp_path / "rag_service.log", twice)
    append(tmp_path / "rag_service_2.log", line(3, service="rag-service", trace_id="t"))

    found = log_files.of_request(
        [tmp_path / "rag_service.log", tmp_path / "rag_service_2.log"], "t"
    )

    assert [each["service"] for each in found] == ["rag-service", "rag-service", "rag-service-2"]


def test_what_would_steer_a_terminal_is_shown_to_it(tmp_path):
    append(tmp_path / "a.log", "\x1b[2J gone\u2028 and on\n")

    assert log_files.last_lines(tmp_path / "a.log", 5) == [r"\x1b[2J gone\u2028 and on"]


def test_following_yields_whole_lines_as_they_are_written(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("before\n")
    lines = log_files.follow([log], pause=0.01)
    writer = Timer(0.2, lambda: append(log, "one\ntwo\nhal"))
    writer.start()

    assert [line for _, line in islice(lines, 2)] == ["one", "two"]

    writer.join()
    append(log, "f\n")
    assert next(lines) == (log, "half")


def append(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)
