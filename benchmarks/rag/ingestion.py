"""Print documents, pages and chunks per second of the suite and of LangChain's pipeline.

    pip install --target build/langchain langchain-community langchain-text-splitters
    PYTHONPATH=build/langchain python -m benchmarks.rag.ingestion DATA [TEXTS BOOKS PAGES]

DATA contains SciFact in BEIR's layout. The documents are uploaded to the suite while its worker is
stopped; then it is continued, and the time until the last document is ready is measured. The
ceiling only embeds the same texts in a separate process with the same number of threads. Processor
time is that of the worker, Chroma and the service. If other processes use the machine, compare
processor times. Without LangChain's packages, only the suite and the ceiling are measured.
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

from backend.ai.embedding import EmbeddingTokenizer
from backend.services.rag.domain.ingestion.chunking import build_index_text
from benchmarks.rag.cpu_time import get_cpu_seconds
from benchmarks.rag.sample_documents import write_documents
from tests.suite.conftest import Suite, UserClient, prepare_suite

_THREADS = min(4, os.cpu_count() or 1)
_PROCESSES = ("rag-worker", "vectors", "rag-service")


def main() -> None:
    data = Path(sys.argv[1])
    texts, books, pages = map(int, sys.argv[2:5] or (400, 4, 60))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = folder / "documents"
        source.mkdir()
        paths = write_documents(data, source, texts, books, pages)
        ours = _measure_service(folder, paths)
        rows = {"service and worker": ours}
        rows["embedding only (ceiling)"] = _run_baseline("ceiling", ours["texts"], ours["models"])
        for name, kind in (("built-in int8 model", "int8"), ("fp32 on onnxruntime", "fp32")):
            if find_spec("langchain_community"):
                rows[f"LangChain, {name}"] = _run_baseline(kind, source, ours["models"])
        if find_spec("sentence_transformers"):
            rows["LangChain, HuggingFaceEmbeddings"] = _run_baseline(
                "torch", source, ours["models"]
            )
        _print_results(rows, len(paths), texts + books * pages)


def _measure_service(folder: Path, paths: list[Path]) -> dict[str, Any]:
    suite = prepare_suite(
        folder, RATE_LIMIT_TENANT="1000000/minute", RATE_LIMIT_API="1000000/minute"
    )
    suite.start()
    try:
        person = suite.register_user()
        _load_models(suite, person)
        worker = suite.get_pid("rag-worker")
        os.kill(worker, signal.SIGSTOP)
        for path in paths:
            person.upload(path, wait=0)
        before = {name: get_cpu_seconds(suite.get_pid(name)) for name in _PROCESSES}
        started_at = time.perf_counter()
        os.kill(worker, signal.SIGCONT)
        _wait_until_ready(folder)
        seconds = time.perf_counter() - started_at
        cpu_seconds = {
            name: get_cpu_seconds(suite.get_pid(name)) - before[name] for name in _PROCESSES
        }
        texts = folder / "texts.json"
        texts.write_text(json.dumps(_read_texts(folder)))
        return {
            "seconds": seconds,
            "cpu": sum(cpu_seconds.values()),
            "parts": cpu_seconds,
            "memory": _get_peak_memory_mb(worker),
            "chunks": len(json.loads(texts.read_text())),
            "texts": texts,
            "models": folder / "data",
        }
    finally:
        suite.stop()


def _load_models(suite: Suite, person: UserClient) -> None:
    """Ingest a document, so that all models and libraries are loaded before the measurement."""
    path = suite.folder / "first.txt"
    path.write_text("The first document loads the models.")
    person.upload(path)


def _wait_until_ready(folder: Path) -> None:
    with sqlite3.connect(folder / "data" / "rag.db") as tables:
        while tables.execute("SELECT count(*) FROM documents WHERE status != 'ready'").fetchone()[
            0
        ]:
            time.sleep(0.1)


def _read_texts(folder: Path) -> list[str]:
    spans = EmbeddingTokenizer().find_token_spans
    with sqlite3.connect(folder / "data" / "rag.db") as tables:
        rows = tables.execute(
            "SELECT d.title, c.section, c.text FROM chunks c JOIN documents d ON "
            "d.id = c.document_id AND c.generation = d.generation WHERE d.filename != 'first.txt'"
        )
        return [build_index_text(*row, spans) for row in rows]


def _run_baseline(configuration: str, source: Path, models: Path) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.rag.langchain_baseline",
        configuration,
        str(source),
    ]
    done = subprocess.run(
        [*command, str(models), str(_THREADS)], check=True, capture_output=True, text=True
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _get_peak_memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _print_results(rows: dict[str, dict[str, Any]], documents: int, pages: int) -> None:
    print(
        f"{documents} documents, {pages} pages; {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {_THREADS} threads\n"
    )
    print("| | documents/s | pages/s | chunks/s | CPU ms per chunk | peak memory MB |")
    print("|---|---|---|---|---|---|")
    for name, row in rows.items():
        seconds = row["seconds"]
        print(
            f"| {name} | {documents / seconds:.1f} | {pages / seconds:.1f} "
            f"| {row['chunks'] / seconds:.1f} "
            f"| {1000 * row['cpu'] / row['chunks']:.1f} | {row['memory']:.0f} |"
        )
    ours, ceiling = rows["service and worker"], rows["embedding only (ceiling)"]
    parts = ", ".join(f"{name} {cpu_seconds:.1f} s" for name, cpu_seconds in ours["parts"].items())
    print(f"\nService: {parts}; ceiling {ceiling['cpu']:.1f} s.")
    print(
        f"Share of the ceiling: {ceiling['cpu'] / ours['cpu']:.0%} of processor time, "
        f"{ceiling['seconds'] / ours['seconds']:.0%} of elapsed time."
    )


if __name__ == "__main__":
    main()
