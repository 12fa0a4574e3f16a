"""What an operator does to the library by hand: `python -m backend.services.rag …`.

Runs beside the suite or without it, on the same tables, files and vectors.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from backend.chassis.problems import ServiceError
from backend.chassis.settings import SettingsError, load_env
from backend.services.rag.domain.reindexing import queue_all, work_off
from backend.services.rag.parts import Parts
from backend.services.rag.settings import Settings


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m backend.services.rag")
    commands = parser.add_subparsers(dest="command", required=True)
    _reindex_command(commands.add_parser("reindex", help="cut up and embed all documents anew"))
    asked = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = asked.run
    try:
        return run(asked)
    except (ServiceError, SettingsError, OSError) as trouble:
        sys.stderr.write(f"{trouble}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted; what is done stays done, and the rest is done later.\n")
        return 130


def _reindex_command(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_reindex)
    parser.add_argument("--collection", metavar="NAME", help="of this collection, by name or id")
    parser.add_argument(
        "--status", action="store_true", help="only show how far each embedding model has come"
    )


def _reindex(asked: argparse.Namespace) -> int:
    parts = _open_parts()
    if not asked.status:
        count = queue_all(parts.database.across_tenants(), asked.collection)
        _say(f"{count} documents are indexed anew; searches find them as before meanwhile.")
        _work_off(parts)
    for each in parts.reembedding.progress():
        _say(
            f"{each.state:8} {each.model}: {each.documents} of {each.all_documents} documents, "
            f"{each.passages} of {each.all_passages} passages"
        )
    return 0


def _work_off(parts: Parts) -> None:
    everything = parts.database.across_tenants()
    work_off(everything, parts.ingestion, parts.reembedding, _progress)
    sys.stdout.write("\n")


def _open_parts() -> Parts:
    return Parts.open(Settings.from_env(load_env()))


def _progress(done: int, total: int) -> None:
    sys.stdout.write(f"\r{done} of {total} read")
    sys.stdout.flush()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
