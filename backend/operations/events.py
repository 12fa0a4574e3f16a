"""Commands for domain events: `python -m backend events …`.

status      print how many events wait, were rejected or could not be applied
list        print the events that were rejected or could not be applied
replay      deliver or apply such events again
document    print the AsyncAPI document
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.console import format_table, print_line
from backend.chassis.database.migration_folders import list_services_with_tables
from backend.chassis.database.sessions import Database, open_database
from backend.chassis.messaging import asyncapi
from backend.chassis.messaging.outbox import CHANNELS, Channel, Outbox, has_outbox
from backend.chassis.messaging.received_events import ReceivedEvents, has_tables
from backend.chassis.settings import CommonSettings, Env, SettingsError, load_env

_MAX_LISTED = 200


def main(arguments: Sequence[str]) -> int:
    """Run a command. Returns the exit code: 0, or 1 if it failed."""
    options = _create_parser().parse_args(arguments[1:])
    try:
        result: int = options.run(load_env(), options)
    except SettingsError as error:
        sys.stderr.write(f"events: {error}\n")
        return 1
    except SQLAlchemyError as error:
        sys.stderr.write(f"events: the database does not respond: {error}\n")
        return 1
    return result


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend events")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="print how many events wait, and how many failed")
    status.set_defaults(run=_print_status)
    listing = commands.add_parser("list", help="print the events that failed, oldest first")
    listing.set_defaults(run=_print_failed_events)
    replay = commands.add_parser("replay", help="deliver or apply failed events again")
    replay.add_argument("service", help="service in whose tables the event is")
    replay.add_argument("consumer", help="second column of `list`: audit, events or a consumer")
    replay.add_argument("id", nargs="?", help="id of the event; without it, all of the consumer")
    replay.set_defaults(run=_replay_events)
    document = commands.add_parser("document", help="print the AsyncAPI document of all events")
    document.set_defaults(run=_print_document)
    return parser


def _print_status(env: Env, _options: argparse.Namespace) -> int:
    rows: list[Sequence[object]] = []
    for service, database in _open_databases(env):
        for channel in _get_channels(service, database):
            state = Outbox(service, database, channel).get_state()
            oldest = state.oldest_pending_at
            age = "" if oldest is None else f"{(datetime.now(UTC) - oldest).total_seconds():.0f} s"
            rows.append((service, channel, state.pending, age, state.rejected))
        if has_tables(database, service):
            counts = ReceivedEvents(service, database).count_dead_letters()
            rows += [(service, consumer, "", "", count) for consumer, count in counts.items()]
    print_line(format_table(("service", "consumer", "waiting", "oldest", "failed"), rows))
    return 0


def _print_failed_events(env: Env, _options: argparse.Namespace) -> int:
    rows: list[Sequence[object]] = []
    for service, database in _open_databases(env):
        for channel in _get_channels(service, database):
            rejected = Outbox(service, database, channel).list_rejected_events(_MAX_LISTED)
            rows += [
                (service, channel, event.id, event.type, _format(event.time), error)
                for event, error in rejected
            ]
        if has_tables(database, service):
            rows += [
                (service, dead.consumer, dead.id, dead.type, _format(dead.failed_at), dead.error)
                for dead in ReceivedEvents(service, database).list_dead_letters(_MAX_LISTED)
            ]
    if rows:
        print_line(format_table(("service", "consumer", "id", "type", "time", "error"), rows))
    else:
        print_line("No event failed.")
    return 0


def _replay_events(env: Env, options: argparse.Namespace) -> int:
    databases = dict(_open_databases(env))
    if options.service not in databases:
        sys.stderr.write(f"events: {options.service!r} has no events.\n")
        return 1
    database = databases[options.service]
    if options.consumer in _get_channels(options.service, database):
        outbox = Outbox(options.service, database, options.consumer)
        count = outbox.retry_rejected_events(options.id)
    elif has_tables(database, options.service):
        received = ReceivedEvents(options.service, database)
        count = received.request_replay(options.consumer, options.id)
    else:
        count = 0
    if count == 0:
        sys.stderr.write("events: there is no such event. `list` prints those that failed.\n")
        return 1
    print_line(f"{count} events are delivered or applied again within seconds.")
    return 0


def _print_document(_env: Env, _options: argparse.Namespace) -> int:
    print_line(json.dumps(asyncapi.build_document(), indent=2, ensure_ascii=False))
    return 0


def _open_databases(env: Env) -> Iterator[tuple[str, Database]]:
    """Yield the services with tables, and their databases."""
    for service in list_services_with_tables():
        common = CommonSettings.from_env(env, service)
        url = common.get_database_url(env)
        # Opening a missing SQLite file would create it.
        if (
            env.optional("DATABASE_URL") is None
            and not (common.data_dir / f"{service}.db").exists()
        ):
            continue
        yield service, open_database(url, service)


def _get_channels(service: str, database: Database) -> Sequence[Channel]:
    return CHANNELS if has_outbox(database, service) else ()


def _format(time: datetime) -> str:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")
