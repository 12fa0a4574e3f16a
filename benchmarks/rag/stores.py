"""Print speed and recall of each vector store as a Markdown table.

    python -m benchmarks.rag.stores DATA [--sizes SIZE ...] [--stores STORE ...] [--efforts]

DATA is the folder of question sets that `retrieval` reads. Its sentences are embedded. If there are
fewer than SIZE (by default 10000 and 100000), further vectors are interpolated between two of them.
Each store has one partition of SIZE vectors in documents of 250. The best 100 hits of 200 sentences
that are not in it are searched in all documents, in two, and in 15 % of them: by one client, and by
eight concurrently. CPU time is that of the client and the server. Recall is the share of the true
best 100 hits. With `--efforts`, different search efforts of Chroma are compared for the smallest
SIZE.
"""

import argparse
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.ai.embedding import BuiltInEmbedder
from backend.services.rag.store.vectors import VectorStore
from backend.services.rag.store.vectors.chroma import _HNSW
from backend.services.rag.store.vectors.factory import VectorStoreSettings, open_vector_store
from benchmarks.rag.cpu_time import get_cpu_seconds
from benchmarks.rag.question_sets import read_question_set
from tests import servers

SENTENCES = 12_000
QUERIES = 200
BEST = 100
CLIENTS = 8
PER_DOCUMENT = 250
FEW_DOCUMENTS = 2
SHARE_OF_DOCUMENTS = 0.15
Rows = NDArray[np.float32]
Search = Callable[[Rows], dict[str, float]]


class Scope(NamedTuple):
    """Documents that a search is restricted to, and the true best rows of each query there."""

    name: str
    document_ids: list[str] | None
    true_best: list[set[int]]


class Usage(NamedTuple):
    """Wall time and CPU time of all processes, in seconds."""

    wall: float
    cpu: float


class Measured(NamedTuple):
    """Searches of one client."""

    milliseconds: list[float]
    cpu_milliseconds: float  # of one search
    recall: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare vector stores.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--stores", choices=_STORES, nargs="+", default=list(_STORES))
    parser.add_argument("--efforts", action="store_true")
    options = parser.parse_args()
    vectors = _embed_sentences(options.data)
    queries, vectors = vectors[:QUERIES], vectors[QUERIES:]
    print("| store | vectors | insert, s | CPU s | searched documents ", end="")
    print("| p50, ms | p99, ms | p50 of 8 clients | CPU ms | recall |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for size in options.sizes:
        rows = _build_rows(vectors, size)
        scopes = _build_scopes(rows, queries)
        _print_exact(rows, queries)
        for name in options.stores:
            with tempfile.TemporaryDirectory() as folder, _STORES[name](Path(folder)) as settings:
                _print_measured(name, settings, rows, queries, scopes)
        if options.efforts and size == min(options.sizes):
            _print_search_efforts(rows, queries, scopes)


def _build_scopes(rows: Rows, queries: Rows) -> list[Scope]:
    """Return all documents, FEW_DOCUMENTS and SHARE_OF_DOCUMENTS of them as scopes."""
    documents = np.random.default_rng(3).permutation(np.arange(0, len(rows), PER_DOCUMENT))
    scopes = [Scope("all", None, _find_true_best(rows, queries, np.arange(len(rows))))]
    for count in (FEW_DOCUMENTS, round(len(documents) * SHARE_OF_DOCUMENTS)):
        starts = documents[:count]
        inside = np.concatenate(
            [np.arange(start, min(start + PER_DOCUMENT, len(rows))) for start in starts]
        )
        ids = [_document_id(start) for start in starts]
        scopes.append(Scope(f"{count}", ids, _find_true_best(rows, queries, inside)))
    return scopes


def _find_true_best(rows: Rows, queries: Rows, inside: NDArray[np.int64]) -> list[set[int]]:
    among = rows[inside]
    return [set(inside[np.argsort(-(among @ query))[:BEST]].tolist()) for query in queries]


@contextmanager
def _open_chroma_server(folder: Path) -> Iterator[VectorStoreSettings]:
    with servers.chroma(folder) as chroma:
        yield VectorStoreSettings("chroma", folder, url=chroma.url)


@contextmanager
def _open_chroma_folder(folder: Path) -> Iterator[VectorStoreSettings]:
    yield VectorStoreSettings("chroma", folder / "vectors")


@contextmanager
def _open_pgvector(folder: Path) -> Iterator[VectorStoreSettings]:
    # The default of 128 MB is smaller than the index of 100,000 vectors.
    settings = {"shared_buffers": "1GB"}
    with servers.postgres(folder, extra_settings=settings) as postgres:
        yield VectorStoreSettings("pgvector", folder, url=postgres.database(vectors=True))


@contextmanager
def _open_qdrant_folder(folder: Path) -> Iterator[VectorStoreSettings]:
    yield VectorStoreSettings("qdrant", folder / "vectors")


_STORES = {
    "chroma-server": _open_chroma_server,
    "chroma-embedded": _open_chroma_folder,
    "pgvector": _open_pgvector,
    "qdrant-embedded": _open_qdrant_folder,
}


def _document_id(start: int) -> str:
    return f"doc_{start}"


def _fill_store(store: VectorStore, rows: Rows) -> Usage:
    """Insert all rows."""
    started_at, cpu = time.monotonic(), get_cpu_seconds(os.getpid())
    for start in range(0, len(rows), PER_DOCUMENT):
        part = rows[start : start + PER_DOCUMENT]
        ids = [f"chk_{start}.1.{n}" for n in range(start, start + len(part))]
        store.add_vectors("bench", _document_id(start), 1, ids, part)
    return Usage(time.monotonic() - started_at, get_cpu_seconds(os.getpid()) - cpu)


def _print_measured(
    name: str, settings: VectorStoreSettings, rows: Rows, queries: Rows, scopes: list[Scope]
) -> None:
    store = open_vector_store(settings)
    insert = _fill_store(store, rows)
    for scope in scopes:
        search = partial(store.search_nearest, "bench", limit=BEST, document_ids=scope.document_ids)
        measured = _measure_searches(search, queries, scope.true_best)
        with ThreadPoolExecutor(CLIENTS) as pool:
            concurrent = list(pool.map(partial(_time_search, search), queries))
        p50, p99 = np.percentile(measured.milliseconds, [50, 99])
        print(
            f"| {name} | {len(rows):,} | {insert.wall:.0f} | {insert.cpu:.0f} | {scope.name} "
            f"| {p50:.1f} | {p99:.1f} | {np.percentile(concurrent, 50):.1f} "
            f"| {measured.cpu_milliseconds:.1f} | {measured.recall:.3f} |",
            flush=True,
        )
    store.drop_partition("bench")
    store.close()


def _measure_searches(search: Search, queries: Rows, true_best: list[set[int]]) -> Measured:
    search(queries[0])
    latencies, recall = [], []
    cpu = get_cpu_seconds(os.getpid())
    for query, expected in zip(queries, true_best, strict=True):
        started_at = time.perf_counter()
        hits = search(query)
        latencies.append((time.perf_counter() - started_at) * 1e3)
        found = {int(key.rpartition(".")[2]) for key in hits}
        recall.append(len(expected & found) / len(expected))
    cpu = (get_cpu_seconds(os.getpid()) - cpu) * 1e3 / len(queries)
    return Measured(latencies, cpu, float(np.mean(recall)))


def _time_search(search: Search, query: Rows) -> float:
    """Return the milliseconds of a search."""
    started_at = time.perf_counter()
    search(query)
    return (time.perf_counter() - started_at) * 1e3


def _print_search_efforts(rows: Rows, queries: Rows, scopes: list[Scope]) -> None:
    defaults = dict(_HNSW)
    for effort in (100, 200, 800):
        _HNSW["ef_search"] = effort
        with tempfile.TemporaryDirectory() as folder, _open_chroma_server(Path(folder)) as settings:
            _print_measured(f"chroma-server, ef_search {effort}", settings, rows, queries, scopes)
    _HNSW.update(defaults)


def _print_exact(rows: Rows, queries: Rows) -> None:
    latencies = []
    for query in queries:
        started_at = time.perf_counter()
        scores = rows @ query
        top = np.argpartition(-scores, BEST)[:BEST]
        top[np.argsort(-scores[top])]
        latencies.append((time.perf_counter() - started_at) * 1e3)
    p50, p99 = np.percentile(latencies, [50, 99])
    print(f"| exact, numpy | {len(rows):,} | | | all | {p50:.1f} | {p99:.1f} | | | 1.000 |")


def _embed_sentences(folder: Path) -> Rows:
    texts: dict[str, None] = {}
    for name in ("scifact", "cisi", "xquad"):
        for title, text in read_question_set(folder, name).documents.values():
            for sentence in re.split(r"(?<=[.?!])\s+", text):
                if len(sentence) > 40:
                    texts[f"{title}\n{sentence}"] = None
    chosen = np.random.default_rng(1).permutation(list(texts))[:SENTENCES]
    return BuiltInEmbedder(threads=2).encode([str(value) for value in chosen])


def _build_rows(vectors: Rows, size: int) -> Rows:
    if size <= len(vectors):
        return vectors[:size]
    random = np.random.default_rng(2)
    some, others = random.integers(0, len(vectors), (2, size - len(vectors)))
    share = random.uniform(0.2, 0.5, (len(some), 1)).astype(np.float32)
    between = (1 - share) * vectors[some] + share * vectors[others]
    rows = np.concatenate([vectors, between])
    unit: Rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


if __name__ == "__main__":
    main()
