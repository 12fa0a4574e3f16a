"""`python -m backend.services.packages evaluate FILE --format cargo2000|scms`.

Measures the forecasts on public data, and prints a JSON line for each step. FILE is CSV, also
compressed by gzip.
"""

import argparse
import csv
import gzip
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import TextIO

from backend.services.packages.domain.prediction.evaluation import Observation, Split, evaluate
from backend.services.packages.domain.prediction.forecasts import Position

_FOLDS = 5
_KNOWN_SHARE = 0.7
_HOURS_PER_DAY = 24.0
_UNKNOWN_LEAD_DAYS = 120
_BLOCK_DAYS = 7
Row = Mapping[str, str]


def main(arguments: Sequence[str]) -> int:
    """Print the figures. Returns 1 if the file cannot be read or has other columns."""
    parser = argparse.ArgumentParser(prog="python -m backend.services.packages evaluate")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--format", choices=("cargo2000", "scms"), required=True)
    options = parser.parse_args(arguments)
    split = split_cargo if options.format == "cargo2000" else split_shipments
    try:
        with _open(Path(options.file)) as lines:
            splits = split(csv.DictReader(lines))
    except OSError as error:
        sys.stderr.write(f"{options.file} cannot be read: {error.strerror or error}.\n")
        return 1
    except KeyError as error:
        sys.stderr.write(f"{options.file} has no column {error}.\n")
        return 1
    except (ValueError, EOFError) as error:
        sys.stderr.write(f"{options.file} is not such a file: {error}\n")
        return 1
    figures = evaluate(splits)
    if not figures:
        sys.stderr.write(f"{options.file} has too few rows.\n")
        return 1
    for step, values in figures.items():
        sys.stdout.write(json.dumps({"step": step} | values) + "\n")
    return 0


def split_cargo(rows: Iterable[Row]) -> list[Split]:
    """Return the five folds of the legs of Cargo 2000.

    The rows have no dates. All legs of a process are in the same fold.
    """
    folds: list[list[Observation]] = [[] for _ in range(_FOLDS)]
    for index, row in enumerate(rows):
        for leg in ("i1", "i2", "i3", "o"):
            folds[index % _FOLDS].extend(_read_leg(row, leg))
    return [
        Split([each for other in folds if other is not fold for each in other], fold)
        for fold in folds
        if fold
    ]


def split_shipments(rows: Iterable[Row]) -> list[Split]:
    """Return the later 30 % of the shipments in blocks of a week.

    Known are the shipments that were delivered before the block, as with a weekly recomputation.
    """
    dated: list[tuple[date, date, Observation]] = []
    for row in rows:
        scheduled = _read_date(row["scheduled_delivery_date"])
        delivered = _read_date(row["delivered_to_client_date"])
        if scheduled is None or delivered is None:
            continue
        observation = _read_shipment(row, scheduled, delivered)
        dated.append((scheduled, delivered, observation))
    dated.sort(key=lambda each: each[:2])
    start = int(len(dated) * _KNOWN_SHARE)
    splits = []
    while start < len(dated):
        first = dated[start][0]
        end = start
        while end < len(dated) and (dated[end][0] - first).days < _BLOCK_DAYS:
            end += 1
        known = [each for _, delivered, each in dated[:start] if delivered < first]
        splits.append(Split(known, [each for _, _, each in dated[start:end]]))
        start = end
    return splits


def _read_leg(row: Row, leg: str) -> Iterator[Observation]:
    if not _read_minutes(row[f"{leg}_legid"]):
        return
    names = ["rcs"]
    for hop in "123":
        names += [f"dep_{hop}", f"rcf_{hop}"]
    names.append("dlv")
    milestones = [
        (name, _read_minutes(row[f"{leg}_{name}_p"]), _read_minutes(row[f"{leg}_{name}_e"]))
        for name in names
    ]
    used = [each for each in milestones if each[1] or each[2]]
    planned = sum(each[1] for each in used) / 60
    effective = sum(each[2] for each in used) / 60
    places = [
        row[f"{leg}_{name}_place"]
        for name, _, _ in used
        if name.startswith(("dep", "rcf")) and _read_minutes(row[f"{leg}_{name}_place"])
    ]
    lane = f"{places[0]}>{places[-1]}" if places else ""
    destination = places[-1] if places else ""
    passed = 0.0
    for (before, _, _), (_, _, minutes) in pairwise([("start", 0.0, 0.0), *used]):
        position = Position(before, lane, destination, "", planned - passed)
        yield Observation(position, effective - passed)
        passed += minutes / 60


def _read_shipment(row: Row, scheduled: date, delivered: date) -> Observation:
    # Many shipments have no date of the order. They get the same time before the scheduled date.
    ordered = _read_date(row["po_sent_to_vendor_date"])
    days = (scheduled - ordered).days if ordered and ordered < scheduled else _UNKNOWN_LEAD_DAYS
    country = row["country"]
    position = Position(
        step="start",
        lane=f"{row['vendor']}/{row['shipment_mode']}>{country}",
        destination=row["vendor"],
        carrier=row["shipment_mode"],
        hours_left=days * _HOURS_PER_DAY,
    )
    late_days = (delivered - scheduled).days
    remaining = (days + late_days) * _HOURS_PER_DAY
    return Observation(position, remaining, float(delivered.toordinal()))


def _read_minutes(value: str) -> float:
    return 0.0 if value in ("", "?") else float(value)


def _read_date(value: str) -> date | None:
    return date.fromisoformat(value) if value else None


def _open(path: Path) -> TextIO:
    with path.open("rb") as file:
        is_compressed = file.read(2) == b"\x1f\x8b"
    if is_compressed:
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")
