"""Measure the packages service.

python -m benchmarks.packages [N] [--database URL] [--folder FOLDER]
python -m benchmarks.packages ingestion [--packages N] [--events N] [--senders N …]
                                        [--batch N] [--workers N] [--database URL]
                                        [--folder FOLDER]
python -m benchmarks.packages tours [--stops N …] [--seconds S] [--long S] [--runs N]
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.packages import ingestion, tables, tours


def main() -> None:
    commands = {"tours": _measure_tours, "ingestion": _measure_ingestion}
    if sys.argv[1:2] and sys.argv[1] in commands:
        commands[sys.argv[1]](sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="benchmarks.packages")
    parser.add_argument("count", type=int, nargs="?", default=50_000, help="number of packages")
    parser.add_argument("--database", help="URL of an empty PostgreSQL database; default SQLite")
    parser.add_argument("--folder", type=Path, help="for the SQLite file; default a temporary one")
    options = parser.parse_args()
    tables.measure(options.count, options.database, options.folder)


def _measure_tours(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.packages tours")
    parser.add_argument("--stops", type=int, nargs="+", default=[100, 200])
    parser.add_argument("--seconds", type=int, default=30, help="time of the measured search")
    parser.add_argument("--long", type=int, default=120, help="time of each long search")
    parser.add_argument("--runs", type=int, default=5, help="number of long searches")
    options = parser.parse_args(arguments)
    for stops in options.stops:
        tours.compare(stops, options.seconds, options.long, options.runs)


def _measure_ingestion(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.packages ingestion")
    parser.add_argument("--packages", type=int, default=50_000, help="number of packages")
    parser.add_argument("--events", type=int, default=5000, help="events of each measurement")
    parser.add_argument("--senders", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--batch", type=int, default=1, help="events of each request")
    parser.add_argument("--workers", type=int, default=1, help="processes of the service")
    parser.add_argument("--database", help="URL of a PostgreSQL database; default SQLite")
    parser.add_argument("--folder", type=Path, help="for the data; default a temporary one")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="packages.") as folder:
        ingestion.measure(
            Path(folder),
            options.database,
            options.packages,
            options.events,
            options.senders,
            options.batch,
            options.workers,
        )


if __name__ == "__main__":
    main()
