"""Rows of packages and events, written directly into the tables."""

import csv
import io
import json
import random
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Connection, text

from backend.chassis.database.sessions import Database
from backend.services.packages.store.tables import PackageRow

TENANT = "ten_benchmark"
NOW = datetime.now(UTC).replace(microsecond=0)
EVENTS = 10
_BATCH = 20_000
_PLACES = ("DEFRA", "DEHAM", "USPDX", "USJFK", "USORD", "GBLHR", "FRCDG", "NLAMS", "ESMAD", "ITMXP")
_CARRIERS = ("ups", "dhl", "fedex", "usps", "dpd")
_CODES = (
    *("announced", "picked_up", "accepted", "departed", "arrived"),
    *("departed", "arrived", "customs_released", "out_for_delivery", "delivered"),
)
_COLUMNS = [column.name for column in PackageRow.__table__.columns if column.name != "row"]
# On SQLite, times are text; the last part of an event's id is its number.
_INSERT_EVENTS = """
INSERT INTO tracking_events (id, tenant_id, package_id, key, code, occurred_at, received_at,
  local_time, time_basis, sequence, location, source)
SELECT 'evt_' || substr(p.id, 5) || s.number, p.tenant_id, p.id,
  'id:' || p.number || '-' || s.number,
  CASE WHEN s.code = 'delivered' AND p.status <> 'delivered' THEN 'note' ELSE s.code END,
  {time}, {time}, NULL, 'offset', s.number, p.origin, 'api'
FROM packages p CROSS JOIN steps s
WHERE p.row > :first AND p.row <= :last
ORDER BY p.row, s.number
"""
_SQLITE_TIME = (
    "strftime('%Y-%m-%d %H:%M:%f', p.started_at, '+' || (s.number * 9) || ' hours') || '000'"
)
_POSTGRESQL_TIME = "p.started_at + s.number * interval '9 hours'"


def load_rows(database: Database, count: int) -> None:
    """Insert *count* packages with ten events each. Indexes are created afterwards."""
    with database.as_owner() as connection:
        started = time.monotonic()
        is_sqlite = connection.dialect.name == "sqlite"
        indexes = (_drop_sqlite_indexes if is_sqlite else _drop_indexes)(connection)
        rows = iterate_packages(count)
        while batch := list(islice(rows, _BATCH)):
            (_insert_sqlite if is_sqlite else _copy)(connection, batch)
        print(f"packages: {time.monotonic() - started:.0f} s", flush=True)
        _insert_events(connection, count, _SQLITE_TIME if is_sqlite else _POSTGRESQL_TIME)
        connection.execute(
            text("INSERT INTO package_usage (tenant_id, packages) VALUES (:tenant, :count)"),
            {"tenant": TENANT, "count": count},
        )
        _insert_tags(connection)
        print(f"events: {time.monotonic() - started:.0f} s", flush=True)
        for statement in indexes:
            connection.exec_driver_sql(statement)
        print(f"indexes: {time.monotonic() - started:.0f} s", flush=True)
        if is_sqlite:
            rebuild = "INSERT INTO package_words(package_words) VALUES ('rebuild')"
            connection.exec_driver_sql(rebuild)
    if not is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
            other.execute(text("ANALYZE"))


def iterate_packages(count: int) -> Iterator[tuple[Any, ...]]:
    """Yield the values of the columns of `packages`, oldest package first."""
    source = random.Random(7)  # noqa: S311 - the same packages in each run
    step = timedelta(days=365) / count
    places = [(name, json.dumps({"code": name, "country": name[:2]})) for name in _PLACES]
    for index in range(count):
        created = NOW - timedelta(days=365) + step * index
        status = _choose_status(source, index / count)
        is_done = status == "delivered"
        started = created + timedelta(hours=5)
        delivered = started + timedelta(hours=90 + source.random() * 60) if is_done else None
        promised = started + timedelta(hours=130)
        is_late = promised < (delivered or NOW) and status != "cancelled"
        eta = None if is_done else max(NOW, promised) + timedelta(hours=source.random() * 99)
        start, start_json = source.choice(places)
        end, end_json = source.choice(places)
        carrier = "rare" if index % 1000 == 0 else source.choice(_CARRIERS)
        number = f"BENCH{index:08}"
        tags = ["vip"] if index % 5000 == 3 else ["fragile"] if index % 10 == 0 else []
        service = "express" if index % 3 == 0 else "parcel"
        words = f"{number.lower()} order {index} {carrier} {service} {start.lower()} {end.lower()}"
        values = {
            "id": f"pkg_{index:028x}",
            "tenant_id": TENANT,
            "number": number,
            "carrier": carrier,
            "reference": f"order-{index}",
            "origin": start_json,
            "destination": end_json,
            "origin_key": f"code:{start}",
            "destination_key": f"code:{end}",
            "origin_country": start[:2],
            "destination_country": end[:2],
            "service": service,
            "weight_g": source.randint(100, 30_000),
            "shipped_at": started,
            "promised_at": promised,
            "tags": json.dumps(tags),
            "metadata": '{"shop": "north"}',
            "words": words,
            "status": status,
            "sub_status": None,
            "started_at": started,
            "delivered_at": delivered,
            "is_late": is_late,
            "last_event": None,
            "event_count": EVENTS,
            "eta_p10": eta,
            "eta_p50": eta,
            "eta_p90": eta,
            "late_probability": None if eta is None else source.random(),
            "eta_samples": None if eta is None else 40,
            "eta_group": None if eta is None else f"carrier {carrier}",
            "version": 1,
            "created_by": "benchmark",
            "created_at": created,
            "updated_at": delivered or created,
        }
        yield tuple(values[name] for name in _COLUMNS)


def _choose_status(source: random.Random, age: float) -> str:
    if age < 0.95:
        return "delivered" if source.random() < 0.98 else source.choice(("expired", "cancelled"))
    return source.choice(("in_transit", "in_transit", "delivered", "pre_transit", "exception"))


def _drop_indexes(connection: Connection) -> list[str]:
    """Drop the indexes that belong to no constraint; return the statements that create them."""
    query = (
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() "
        "AND tablename IN ('packages', 'tracking_events', 'package_tags') "
        "AND indexname LIKE 'ix\\_%'"
    )
    found = connection.execute(text(query)).all()
    for name, _ in found:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    return [statement for _, statement in found]


def _drop_sqlite_indexes(connection: Connection) -> list[str]:
    """Drop the indexes and triggers of the tables, and return the statements that create them."""
    query = (
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND type IN "
        "('index', 'trigger') AND tbl_name IN ('packages', 'tracking_events', 'package_tags')"
    )
    found = connection.exec_driver_sql(query).all()
    for kind, name, _ in found:
        connection.exec_driver_sql(f"DROP {kind} {name}")
    return [statement for _, _, statement in found]


def _insert_sqlite(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    marks = ", ".join("?" * len(_COLUMNS))
    statement = f"INSERT INTO packages ({', '.join(_COLUMNS)}) VALUES ({marks})"  # noqa: S608
    raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
    raw.executemany(statement, ([_to_sqlite(value) for value in row] for row in rows))


def _to_sqlite(value: Any) -> Any:
    # As SQLAlchemy writes times.
    return value.strftime("%Y-%m-%d %H:%M:%S.%f") if isinstance(value, datetime) else value


def _copy(connection: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    cursor = connection.connection.cursor()
    columns = ", ".join(_COLUMNS)
    cursor.execute(
        f"COPY packages ({columns}) FROM STDIN WITH (FORMAT csv)",
        stream=io.BytesIO(buffer.getvalue().encode()),
    )


def _insert_events(connection: Connection, count: int, time_expression: str) -> None:
    connection.execute(text("CREATE TEMPORARY TABLE steps (number INTEGER, code TEXT)"))
    connection.execute(
        text("INSERT INTO steps VALUES (:number, :code)"),
        [{"number": number, "code": code} for number, code in enumerate(_CODES)],
    )
    statement = text(_INSERT_EVENTS.format(time=time_expression))
    for first in range(0, count, _BATCH):
        connection.execute(statement, {"first": first, "last": first + _BATCH})


def _insert_tags(connection: Connection) -> None:
    for tag in ("vip", "fragile"):
        connection.execute(
            text(
                "INSERT INTO package_tags (package_id, tag, tenant_id, created_at) "
                "SELECT id, :tag, tenant_id, created_at FROM packages "
                "WHERE CAST(tags AS TEXT) LIKE :pattern"
            ),
            {"tag": tag, "pattern": f"%{tag}%"},
        )
