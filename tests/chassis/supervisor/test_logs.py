"""Log files: their ends, and their bound."""

from itertools import islice
from pathlib import Path
from threading import Timer

from backend.chassis.supervisor import logs


def test_the_last_lines_are_those_since_a_start(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("old\n")
    before = log.stat().st_size
    with log.open("a") as file:
        file.writelines(f"line {number}\n" for number in range(100))

    assert logs.last_lines(log, 2) == ["line 98", "line 99"]
    assert logs.last_lines(log, 200, beyond=before)[0] == "line 0"
    assert logs.last_lines(tmp_path / "none.log", 5) == []


def test_a_large_log_is_kept_aside_once_and_its_writer_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "LARGEST", 10)
    log = tmp_path / "a.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"more than ten bytes\n")
        logs.trim(log)
        writer.write(b"next\n")
        logs.trim(log)

    assert log.read_text() == "next\n"
    assert (tmp_path / "a.log.1").read_text() == "more than ten bytes\n"


def test_following_yields_whole_lines_as_they_are_written(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("before\n")
    lines = logs.follow([log], pause=0.01)
    writer = Timer(0.2, lambda: append(log, "one\ntwo\nhal"))
    writer.start()

    assert [line for _, line in islice(lines, 2)] == ["one", "two"]

    writer.join()
    append(log, "f\n")
    assert next(lines) == (log, "half")


def append(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)
