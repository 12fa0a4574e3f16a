"""Commands for operators: `python -m backend.services.rag …`.

They use the tables, files and vectors of the service, whether the service is running or not.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import get_args

from backend.ai.embedding import BuiltInEmbedder, MultilingualEmbedder
from backend.chassis.database.sessions import Database
from backend.chassis.settings import SettingsError, load_env
from backend.chassis.web.problems import ServiceError
from backend.services.rag.clients.datasets import read_dataset
from backend.services.rag.domain.evaluation.evaluation import RetrievalEvaluation
from backend.services.rag.domain.maintenance.reindexing import process_queue, queue_documents
from backend.services.rag.domain.maintenance.transfer import export_library, import_library
from backend.services.rag.domain.maintenance.verification import CheckResult, ConsistencyCheck
from backend.services.rag.domain.search.service import Mode, SearchQuery
from backend.services.rag.errors import InvalidDataset, InvalidExport, VectorSearchUnavailable
from backend.services.rag.settings import Settings
from backend.services.rag.store.vectors.factory import VectorStoreSettings
from backend.services.rag.wiring import RagComponents

_RERANK_LABELS = {None: "", True: " + rerank", False: " - rerank"}
_PROGRESS_INTERVAL_SECONDS = 10


def main(arguments: Sequence[str]) -> int:
    """Run a command and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m backend.services.rag")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_export_arguments(commands.add_parser("export", help="write all documents to one file"))
    _add_import_arguments(commands.add_parser("import", help="add the documents of an export"))
    _add_reindex_arguments(commands.add_parser("reindex", help="chunk and embed documents again"))
    _add_verify_arguments(commands.add_parser("verify", help="compare tables, files and vectors"))
    _add_evaluate_arguments(
        commands.add_parser("evaluate", help="measure retrieval on a judged question set")
    )
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except (InvalidDataset, InvalidExport, ServiceError, SettingsError, OSError) as error:
        sys.stderr.write(f"{_get_message(error)}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted. Finished work is saved; the service does the rest.\n")
        return 130


def _add_export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_run_export)
    parser.add_argument("file", type=Path, metavar="FILE", help="such as library.tar.gz")


def _run_export(options: argparse.Namespace) -> int:
    with _open_components() as components:
        result = export_library(
            _get_all_tenants(components),
            components.blob_storage,
            options.file,
            _create_progress_line("documents"),
        )
        _print(f"{result.documents} documents exported to {options.file}.")
        if result.missing_originals:
            _print(
                f"{result.missing_originals} documents were left out because their files are "
                "missing. Run verify to list them."
            )
        return 1 if result.missing_originals else 0


def _add_import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_run_import)
    parser.add_argument("file", type=Path, metavar="FILE", help="file written by export")


def _run_import(options: argparse.Namespace) -> int:
    with _open_components() as components:
        result = import_library(
            _get_all_tenants(components),
            components.blob_storage,
            options.file,
            _create_progress_line("documents"),
        )
        _print(
            f"{result.documents} documents and {result.collections} collections imported; "
            f"{result.existing_documents} documents already existed."
        )
        _process_queue(components)
        return 0


def _add_reindex_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_run_reindex)
    parser.add_argument(
        "--collection", metavar="NAME", help="only documents of this collection, by name or id"
    )
    parser.add_argument(
        "--status", action="store_true", help="only show the progress of each embedding model"
    )


def _run_reindex(options: argparse.Namespace) -> int:
    with _open_components() as components:
        if not options.status:
            count = queue_documents(_get_all_tenants(components), options.collection)
            _print(f"Reindexing {count} documents; searches still find their current chunks.")
            _process_queue(components)
        for progress in components.reembedder.get_progress():
            _print(
                f"{progress.state:8} {progress.model}: "
                f"{progress.documents} of {progress.total_documents} documents, "
                f"{progress.chunks} of {progress.total_chunks} chunks"
            )
        waiting = components.sentence_embedder.count_waiting_documents()
        _print(f"Documents whose sentences are not embedded yet: {waiting}")
        return 0


def _add_verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_run_verify)
    parser.add_argument(
        "--repair", action="store_true", help="delete orphaned data and rebuild missing data"
    )
    # Earlier versions called --repair so.
    parser.add_argument("--mend", action="store_true", dest="repair", help=argparse.SUPPRESS)


def _run_verify(options: argparse.Namespace) -> int:
    """Return 0 if everything is consistent or was repaired, otherwise 1."""
    with _open_components() as components:
        check = ConsistencyCheck(
            _get_all_tenants(components),
            components.blob_storage,
            components.embedding_models,
            components.vectors,
            repair=options.repair,
            report_progress=lambda name, done, total: _create_progress_line(name)(done, total),
        )
        results = list(check.run_checks())
        _print_results(results)
        if any(result.repaired for result in results):
            _process_queue(components)
        is_consistent = all(len(result.inconsistent) == result.repaired for result in results)
        return 0 if is_consistent else 1


def _print_results(results: Sequence[CheckResult]) -> None:
    width = max(len(result.description) for result in results)
    _print(f"{'':{width}}  checked  inconsistent  repaired")
    for result in results:
        _print(
            f"{result.description:{width}}  {result.checked:7} "
            f"{len(result.inconsistent):13} {result.repaired:9}"
        )
    for result in results:
        if result.inconsistent:
            remaining = len(result.inconsistent) - len(result.examples)
            suffix = f" and {remaining} more" if remaining else ""
            _print(f"{result.description}: {', '.join(result.examples)}{suffix}")


def _process_queue(components: RagComponents) -> None:
    """Index queued documents now, instead of leaving them to the service."""
    components.vectors.check_connection()
    process_queue(
        _get_all_tenants(components),
        components.ingestion,
        components.reembedder,
        _create_progress_line("indexed"),
    )


def _get_all_tenants(components: RagComponents) -> Database:
    return components.database.across_tenants()


def _add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_run_evaluate)
    parser.add_argument("dataset", type=Path, help="folder in BEIR's layout")
    parser.add_argument("--mode", choices=[*get_args(Mode), "all"], default="hybrid")
    parser.add_argument(
        "--rerank",
        action=argparse.BooleanOptionalAction,
        help="rerank the best hits, or do not; by default as the service does",
    )
    parser.add_argument("--k", type=int, default=100, help="chunks per question (default 100)")


def _run_evaluate(options: argparse.Namespace) -> int:
    """Index the question set in a temporary folder, run its questions and print the metrics."""
    dataset = read_dataset(options.dataset)
    settings = Settings.from_env(load_env())
    status_line = _StatusLine()
    with tempfile.TemporaryDirectory(prefix="rag-evaluate-") as folder:
        components = open_temporary_components(settings, Path(folder))
        try:
            evaluation = create_evaluation(components)
            documents, chunks = evaluation.index_dataset(dataset, status_line)
            status_line("")
            _print(
                f"{dataset.name}: {documents} documents in {chunks} chunks, "
                f"{len(dataset.queries)} questions, {options.k} chunks per question"
            )
            _print(f"embedding model: {evaluation.get_model_name()}")
            _print(
                f"{'':16}{'nDCG@10':>8}{'Recall@5':>10}{'Recall@10':>11}{'MRR':>8}"
                f"{'p50 ms':>9}{'p99 ms':>9}"
            )
            for mode in get_args(Mode) if options.mode == "all" else [options.mode]:
                template = SearchQuery("", k=options.k, mode=mode, rerank=options.rerank)
                scores = evaluation.run_queries(dataset, template, status_line)
                status_line("")
                _print(
                    f"{mode + _RERANK_LABELS[options.rerank]:16}{scores.ndcg_10:8.4f}"
                    f"{scores.recall_5:10.4f}{scores.recall_10:11.4f}{scores.mrr:8.4f}"
                    f"{scores.p50_ms:9.1f}{scores.p99_ms:9.1f}"
                )
        finally:
            components.close()
    return 0


def create_evaluation(components: RagComponents) -> RetrievalEvaluation:
    """Return the evaluation of the search of *components*."""
    return RetrievalEvaluation(
        components.database,
        components.embedding_models,
        components.dense_index,
        components.vectors,
        components.search,
        components.reembedder,
        components.sentence_embedder,
        components.tokenizers,
    )


def open_temporary_components(settings: Settings, folder: Path) -> RagComponents:
    """Open the components on an empty folder. The embedding models use all processors."""
    temporary_settings = replace(
        settings,
        common=replace(settings.common, data_dir=folder),
        database_url=f"sqlite:///{folder / 'rag.db'}",
        vectors=VectorStoreSettings("chroma", folder / "vectors"),
    )
    threads = os.cpu_count()
    components = RagComponents.open(
        temporary_settings,
        BuiltInEmbedder(threads),
        multilingual_embedder=MultilingualEmbedder(threads),
    )
    components.embedding_models.activate_configured_model()
    # Activate the configured model: it serves when all chunks are embedded, and there are none yet.
    while components.reembedder.run_time_slice():
        pass
    return components


@contextmanager
def _open_components() -> Iterator[RagComponents]:
    components = RagComponents.open(Settings.from_env(load_env()))
    try:
        yield components
    finally:
        components.close()


def _create_progress_line(label: str) -> Callable[[int, int], None]:
    """Return a function that shows progress in one line of a terminal and erases it at the end."""

    def report_progress(done: int, total: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(
                f"\r{label}: {done} of {total}\x1b[K" + ("\r\x1b[K" if done >= total else "")
            )
            sys.stderr.flush()

    return report_progress


def _get_message(error: Exception) -> str:
    return error.reason if isinstance(error, VectorSearchUnavailable) else str(error)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


class _StatusLine:
    """A line on standard error that is overwritten in a terminal.

    If standard error is not a terminal, a new line is written every _PROGRESS_INTERVAL_SECONDS.
    """

    def __init__(self) -> None:
        self._written_at = monotonic()

    def __call__(self, text: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
        elif text and monotonic() - self._written_at > _PROGRESS_INTERVAL_SECONDS:
            self._written_at = monotonic()
            sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
