"""Documents, pages and passages a second, through the real suite, and beside LangChain's pipeline.

    pip install --target build/langchain langchain-community langchain-text-splitters
    PYTHONPATH=build/langchain python -m benchmarks.rag.ingestion DATA [TEXTS BOOKS PAGES]

DATA holds SciFact in BEIR's layout. The documents are uploaded to the suite while its worker is
held still; then it is let go, and the time runs until the last is ready. The ceiling embeds the
very same texts in a process that does nothing else, with as many threads. Processor time is all
that the worker, Chroma and the service used meanwhile; where others use the machine as well, it
is the figure to compare. Without LangChain's packages only ours and the ceiling are measured.
"""

import json
import os
import platform
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from backend.ai.embedding import Tokens
from backend.services.rag.domain.chunking import indexed
from benchmarks.rag.pages import write_documents
from tests.suite.conftest import Person, Suite, prepare

_HERTZ = os.sysconf("SC_CLK_TCK")
_THREADS = min(4, os.cpu_count() or 1)
_PARTS = ("rag-worker", "chroma", "rag-service")


def main() -> None:
    data = Path(sys.argv[1])
    texts, books, pages = map(int, sys.argv[2:5] or (400, 4, 60))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source = folder / "documents"
        source.mkdir()
        paths = write_documents(data, source, texts, books, pages)
        ours = _ours(folder, paths)
        rows = {"ours: service and worker": ours}
        rows["embedding alone (the ceiling)"] = _run("ceiling", ours["texts"], ours["models"])
        for name, kind in (("our int8 engine", "int8"), ("fp32 on onnxruntime", "fp32")):
            if find_spec("langchain_community"):
                rows[f"LangChain, {name}"] = _run(kind, source, ours["models"])
        if find_spec("sentence_transformers"):
            rows["LangChain, HuggingFaceEmbeddings"] = _run("torch", source, ours["models"])
        _print(rows, len(paths), texts + books * pages)


def _ours(folder: Path, paths: list[Path]) -> dict[str, Any]:
    suite = prepare(folder, RATE_LIMIT_TENANT="1000000/minute", RATE_LIMIT_API="1000000/minute")
    suite.start()
    try:
        person = suite.person()
        _settle(suite, person)
        worker = suite.pid_of("rag-worker")
        os.kill(worker, signal.SIGSTOP)
        for path in paths:
            person.upload(path, wait=0)
        before = {name: _cpu(suite.pid_of(name)) for name in _PARTS}
        began = time.perf_counter()
        os.kill(worker, signal.SIGCONT)
        _wait(folder)
        seconds = time.perf_counter() - began
        spent = {name: _cpu(suite.pid_of(name)) - before[name] for name in _PARTS}
        texts = folder / "texts.json"
        texts.write_text(json.dumps(_texts(folder)))
        return {
            "seconds": seconds,
            "cpu": sum(spent.values()),
            "parts": spent,
            "memory": _peak(worker),
            "chunks": len(json.loads(texts.read_text())),
            "texts": texts,
            "models": folder / "data",
        }
    finally:
        suite.stop()


def _settle(suite: Suite, person: Person) -> None:
    """Everything is loaded before the time runs."""
    path = suite.folder / "first.txt"
    path.write_text("The first document loads what the others need.")
    person.upload(path)


def _wait(folder: Path) -> None:
    with sqlite3.connect(folder / "data" / "rag.db") as tables:
        while tables.execute("SELECT count(*) FROM documents WHERE status != 'ready'").fetchone()[
            0
        ]:
            time.sleep(0.1)


def _texts(folder: Path) -> list[str]:
    spans = Tokens().spans
    with sqlite3.connect(folder / "data" / "rag.db") as tables:
        rows = tables.execute(
            "SELECT d.title, c.section, c.text FROM chunks c JOIN documents d ON "
            "d.id = c.document_id AND c.generation = d.generation WHERE d.filename != 'first.txt'"
        )
        return [indexed(*row, spans) for row in rows]


def _run(what: str, source: Path, models: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.rag.contenders", what, str(source)]
    done = subprocess.run(
        [*command, str(models), str(_THREADS)], check=True, capture_output=True, text=True
    )
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome


def _cpu(pid: int) -> float:
    """Seconds of processor time of a process and all below it, ended ones too."""
    total = 0.0
    for each in (pid, *_below(pid)):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15])) / _HERTZ
    return total


def _below(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *_below(child)]
    return found


def _peak(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _print(rows: dict[str, dict[str, Any]], documents: int, pages: int) -> None:
    print(
        f"{documents} documents, {pages} pages; {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {_THREADS} threads\n"
    )
    print("| | documents/s | pages/s | passages/s | CPU ms a passage | peak memory MB |")
    print("|---|---|---|---|---|---|")
    for name, row in rows.items():
        took = row["seconds"]
        print(
            f"| {name} | {documents / took:.1f} | {pages / took:.1f} | {row['chunks'] / took:.1f} "
            f"| {1000 * row['cpu'] / row['chunks']:.1f} | {row['memory']:.0f} |"
        )
    ours, ceiling = rows["ours: service and worker"], rows["embedding alone (the ceiling)"]
    parts = ", ".join(f"{name} {spent:.1f} s" for name, spent in ours["parts"].items())
    print(f"\nOf ours: {parts}; the ceiling {ceiling['cpu']:.1f} s.")
    print(
        f"Share of the ceiling: {ceiling['cpu'] / ours['cpu']:.0%} by processor time, "
        f"{ceiling['seconds'] / ours['seconds']:.0%} by the clock."
    )


if __name__ == "__main__":
    main()
