"""Command `normalise`: print the events of webhook payloads.

It uses no database and no network.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from backend.services.chat.domain.channels.fields import InvalidPayload, Json, Object
from backend.services.chat.domain.channels.payloads import MAX_BODY_BYTES, parse_payload
from backend.services.chat.domain.channels.registry import CHANNELS


def main(arguments: Sequence[str]) -> int:
    """Write one JSON line for each file: `{"file", "events"}`.

    A file that cannot be parsed has no events and an `error`. Returns 1 if there is one, else 0.
    """
    parser = argparse.ArgumentParser(prog="python -m backend.services.chat normalise")
    parser.add_argument("--channel", required=True, choices=sorted(CHANNELS))
    parser.add_argument(
        "--account",
        type=_parse_account,
        default={},
        metavar="JSON",
        help='settings of the account, such as {"bot_username": "suite_bot"}',
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    options = parser.parse_args(arguments)
    is_complete = True
    for file in options.files:
        is_complete &= _write_events(options.channel, options.account, file)
    return 0 if is_complete else 1


def _parse_account(text: str) -> dict[str, Json]:
    try:
        account = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error
    if not isinstance(account, dict):
        raise argparse.ArgumentTypeError("not a JSON object")
    return account


def _write_events(channel: str, account: Object, file: Path) -> bool:
    line: dict[str, Json] = {"file": file.name}
    try:
        line["events"] = normalise_file(channel, account, file)
    except (InvalidPayload, OSError) as error:
        line |= {"events": [], "error": str(error)}
    sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    return "error" not in line


def normalise_file(channel: str, account: Object, file: Path) -> list[Json]:
    """Return the events of one file as JSON.

    Raises:
        InvalidPayload: the file is too large or not a webhook.
        OSError: the file cannot be read.
    """
    if file.stat().st_size > MAX_BODY_BYTES:
        raise InvalidPayload(f"The file has more than {MAX_BODY_BYTES} bytes.")
    payload = parse_payload(file.read_bytes())
    return [event.to_json() for event in CHANNELS[channel].normalise(payload, account)]
