"""Measure the packages service.

python -m benchmarks.packages [N] [--database URL] [--folder FOLDER]
python -m benchmarks.packages tours [--stops N …] [--seconds S] [--long S] [--runs N]
"""

import argparse
import sys
from pathlib import Path

from benchmarks.packages import tables, tours


def main() -> None:
    if sys.argv[1:2] == ["tours"]:
        parser = argparse.ArgumentParser(prog="benchmarks.packages tours")
        parser.add_argument("--stops", type=int, nargs="+", default=[100, 200])
        parser.add_argument("--seconds", type=int, default=30, help="time of the measured search")
        parser.add_argument("--long", type=int, default=120, help="time of each long search")
        parser.add_argument("--runs", type=int, default=5, help="number of long searches")
        options = parser.parse_args(sys.argv[2:])
        for stops in options.stops:
            tours.compare(stops, options.seconds, options.long, options.runs)
        return
    parser = argparse.ArgumentParser(prog="benchmarks.packages")
    parser.add_argument("count", type=int, nargs="?", default=50_000, help="number of packages")
    parser.add_argument("--database", help="URL of an empty PostgreSQL database; default SQLite")
    parser.add_argument("--folder", type=Path, help="for the SQLite file; default a temporary one")
    options = parser.parse_args()
    tables.measure(options.count, options.database, options.folder)


if __name__ == "__main__":
    main()
