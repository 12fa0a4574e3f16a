"""What an operator does to the library by hand: `python -m backend.services.rag …`.

Runs beside the suite or without it, on the same tables, files and vectors.
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

from backend.ai.embedding import Embedder
from backend.chassis.database.sessions import Database
from backend.chassis.settings import SettingsError, load_env
from backend.chassis.web.problems import ServiceError
from backend.services.rag.clients.datasets import read_dataset
from backend.services.rag.domain.evaluation import Evaluation
from backend.services.rag.domain.reindexing import queue_all, work_off
from backend.services.rag.domain.search import Mode, Question
from backend.services.rag.domain.transfer import export_library, import_library
from backend.services.rag.domain.verification import Verification
from backend.services.rag.errors import DatasetUnreadable, NotAnArchive, VectorsUnavailable
from backend.services.rag.parts import Parts
from backend.services.rag.settings import Settings
from backend.services.rag.store.vectors.opening import Place

_RERANK = {None: "", True: " + rerank", False: " - rerank"}
_SECONDS_BETWEEN_LINES = 10


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m backend.services.rag")
    commands = parser.add_subparsers(dest="command", required=True)
    _export_command(commands.add_parser("export", help="write the whole library to one file"))
    _import_command(commands.add_parser("import", help="bring in what such a file holds"))
    _reindex_command(commands.add_parser("reindex", help="cut up and embed all documents anew"))
    _verify_command(commands.add_parser("verify", help="compare tables, files and vectors"))
    _evaluate_command(commands.add_parser("evaluate", help="measure retrieval on a judged set"))
    asked = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = asked.run
    try:
        return run(asked)
    except (DatasetUnreadable, NotAnArchive, ServiceError, SettingsError, OSError) as trouble:
        sys.stderr.write(f"{_told(trouble)}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted; what is done stays done, and the rest is done later.\n")
        return 130


def _export_command(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_export)
    parser.add_argument("file", type=Path, metavar="FILE", help="such as library.tar.gz")


def _export(asked: argparse.Namespace) -> int:
    with _opened() as parts:
        done = export_library(_everything(parts), parts.blobs, asked.file, _progress("documents"))
        _say(f"{done.documents} documents are in {asked.file}.")
        if done.without_file:
            _say(f"{done.without_file} are not: their files are missing; verify tells which.")
        return 1 if done.without_file else 0


def _import_command(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_import)
    parser.add_argument("file", type=Path, metavar="FILE", help="that export has written")


def _import(asked: argparse.Namespace) -> int:
    with _opened() as parts:
        done = import_library(_everything(parts), parts.blobs, asked.file, _progress("documents"))
        _say(
            f"{done.documents} documents and {done.collections} collections came in; "
            f"{done.there_already} documents were there already."
        )
        _work_off(parts)
        return 0


def _reindex_command(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_reindex)
    parser.add_argument("--collection", metavar="NAME", help="of this collection, by name or id")
    parser.add_argument(
        "--status", action="store_true", help="only show how far each embedding model has come"
    )


def _reindex(asked: argparse.Namespace) -> int:
    with _opened() as parts:
        if not asked.status:
            count = queue_all(_everything(parts), asked.collection)
            _say(f"{count} documents are indexed anew; searches find them as before meanwhile.")
            _work_off(parts)
        for each in parts.reembedding.progress():
            _say(
                f"{each.state:8} {each.model}: {each.documents} of {each.all_documents} documents, "
                f"{each.passages} of {each.all_passages} passages"
            )
        return 0


def _verify_command(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_verify)
    parser.add_argument(
        "--mend", action="store_true", help="drop what belongs to nothing, make anew what is lost"
    )


def _verify(asked: argparse.Namespace) -> int:
    """0 where all agrees in the end; 1 where something does not."""
    with _opened() as parts:
        verification = Verification(
            _everything(parts),
            parts.blobs,
            parts.models,
            parts.vectors,
            mend=asked.mend,
            tell=lambda what, done, total: _progress(what)(done, total),
        )
        findings = list(verification.findings())
        width = max(len(each.what) for each in findings)
        _say(f"{'':{width}}  looked at   wrong  mended")
        for each in findings:
            _say(f"{each.what:{width}}  {each.looked_at:9} {len(each.wrong):7} {each.mended:7}")
        for each in findings:
            if each.wrong:
                more = len(each.wrong) - len(each.examples)
                _say(
                    f"{each.what}: {', '.join(each.examples)}{f' and {more} more' if more else ''}"
                )
        if any(each.mended for each in findings):
            _work_off(parts)
        return 0 if all(len(each.wrong) == each.mended for each in findings) else 1


def _work_off(parts: Parts) -> None:
    """Index what waits; the service would do so as well, some time."""
    parts.vectors.check()
    work_off(_everything(parts), parts.ingestion, parts.reembedding, _progress("indexed"))


def _everything(parts: Parts) -> Database:
    return parts.database.across_tenants()


def _evaluate_command(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_evaluate)
    parser.add_argument("dataset", type=Path, help="a folder in BEIR's layout")
    parser.add_argument("--mode", choices=[*get_args(Mode), "all"], default="hybrid")
    parser.add_argument(
        "--rerank",
        action=argparse.BooleanOptionalAction,
        help="let the reranker order the best, or do not; left out: as the service does",
    )
    parser.add_argument(
        "--k", type=int, default=100, help="how many passages are asked for (default 100)"
    )


def _evaluate(asked: argparse.Namespace) -> int:
    """Index the set in a temporary folder, ask its questions, print the measures."""
    dataset = read_dataset(asked.dataset)
    settings = Settings.from_env(load_env())
    tell = _Line()
    with tempfile.TemporaryDirectory(prefix="rag-evaluate-") as name:
        parts = _temporary(settings, Path(name))
        try:
            spans = parts.embedder.tokens.spans
            evaluation = Evaluation(
                parts.database, parts.models, parts.vectors, parts.search, spans
            )
            documents, passages = evaluation.fill(dataset.documents(), tell)
            tell("")
            _say(
                f"{dataset.name}: {documents} documents in {passages} passages,"
                f" {len(dataset.questions)} questions, {asked.k} passages each"
            )
            _say(
                f"{'':16}{'nDCG@10':>8}{'Recall@5':>10}{'Recall@10':>11}{'MRR':>8}"
                f"{'p50 ms':>9}{'p99 ms':>9}"
            )
            for mode in get_args(Mode) if asked.mode == "all" else [asked.mode]:
                question = Question("", k=asked.k, mode=mode, rerank=asked.rerank)
                score = evaluation.ask(dataset, question, tell)
                tell("")
                _say(
                    f"{mode + _RERANK[asked.rerank]:16}{score.ndcg_10:8.4f}{score.recall_5:10.4f}"
                    f"{score.recall_10:11.4f}{score.mrr:8.4f}{score.p50_ms:9.1f}{score.p99_ms:9.1f}"
                )
        finally:
            parts.vectors.close()
            parts.database.engine.dispose()
    return 0


def _temporary(settings: Settings, folder: Path) -> Parts:
    """The library's parts over an empty folder, with all of the machine for the model."""
    elsewhere = replace(
        settings,
        common=replace(settings.common, data_dir=folder),
        database_url=f"sqlite:///{folder / 'rag.db'}",
        vectors=Place("chroma", folder / "vectors"),
    )
    parts = Parts.open(elsewhere, Embedder(settings.common.data_dir, threads=os.cpu_count()))
    parts.models.settle()
    while parts.reembedding.step():
        """The model that is set up comes to serve once it knows all that there is: nothing."""
    return parts


@contextmanager
def _opened() -> Iterator[Parts]:
    parts = Parts.open(Settings.from_env(load_env()))
    try:
        yield parts
    finally:
        parts.vectors.close()
        parts.database.engine.dispose()


def _progress(what: str) -> Callable[[int, int], None]:
    """Tells on a terminal how far it is, in one line that goes again."""

    def tell(done: int, total: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(
                f"\r{what}: {done} of {total}\x1b[K" + ("\r\x1b[K" if done >= total else "")
            )
            sys.stderr.flush()

    return tell


def _told(trouble: Exception) -> str:
    return trouble.why if isinstance(trouble, VectorsUnavailable) else str(trouble)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


class _Line:
    """One line that is written over, on a terminal's error output; now and then one elsewhere."""

    def __init__(self) -> None:
        self._last = monotonic()

    def __call__(self, text: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
        elif text and monotonic() - self._last > _SECONDS_BETWEEN_LINES:
            self._last = monotonic()
            sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
