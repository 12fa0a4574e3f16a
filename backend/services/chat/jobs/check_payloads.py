"""Command `check-payloads`: compare a folder of webhook payloads with its manifest.

It uses no database and no network.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from backend.services.chat.domain.channels.fields import InvalidPayload, Json
from backend.services.chat.domain.channels.registry import CHANNELS
from backend.services.chat.jobs.normalise import normalise_file

_MANIFEST: Final = "manifest.json"
_MAX_MANIFEST_BYTES: Final = 64 * 1024 * 1024


class InvalidManifest(Exception):
    """The folder has no readable manifest. The message gives the reason."""


def main(arguments: Sequence[str]) -> int:
    """Write a table of the files, and return 1 if one differs or there is no manifest, else 0."""
    parser = argparse.ArgumentParser(prog="python -m backend.services.chat check-payloads")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    options = parser.parse_args(arguments)
    try:
        return _check_folder(options.folder)
    except InvalidManifest as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _check_folder(folder: Path) -> int:
    """Compare each payload with its expected events, which must have exactly the same members."""
    entries = _read_manifest(folder / _MANIFEST)
    width = max((len(str(entry.get("file", ""))) for entry in entries), default=0)
    differing = 0
    for entry in entries:
        differences = _check_entry(folder, entry)
        result = "differs" if differences else "ok"
        name = str(entry.get("file", ""))
        sys.stdout.write(f"{entry.get('channel')!s:<10} {name:<{width}} {result}\n")
        sys.stdout.writelines(f"    {difference}\n" for difference in differences)
        differing += bool(differences)
    sys.stdout.write(f"{len(entries) - differing} of {len(entries)} payloads as expected.\n")
    return 1 if differing else 0


def _read_manifest(path: Path) -> list[dict[str, Json]]:
    try:
        if path.stat().st_size > _MAX_MANIFEST_BYTES:
            raise InvalidManifest(f"{path} has more than {_MAX_MANIFEST_BYTES} bytes.")
        entries = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidManifest(f"{path} cannot be read: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidManifest(f"{path} is not a list of objects.")
    return entries


def _check_entry(folder: Path, entry: dict[str, Json]) -> list[str]:
    """Return what differs from the expectation, one line for each difference."""
    file, channel, account = entry.get("file"), entry.get("channel"), entry.get("account")
    expected = entry.get("expect")
    if not (isinstance(file, str) and isinstance(channel, str) and isinstance(expected, list)):
        return ["The entry needs file, channel and expect."]
    if channel not in CHANNELS:
        return [f"There is no channel {channel!r}."]
    try:
        found = normalise_file(channel, account if isinstance(account, dict) else {}, folder / file)
    except (InvalidPayload, OSError) as error:
        return [str(error)]
    differences = [
        difference
        for index, (one, other) in enumerate(zip(expected, found, strict=False))
        for difference in _compare(f"[{index}]", one, other)
    ]
    if len(expected) != len(found):
        differences.append(f"{len(expected)} events expected, {len(found)} found")
    return differences


def _compare(path: str, expected: Json, found: Json) -> list[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            difference
            for key in sorted(expected.keys() | found.keys())
            for difference in _compare_member(f"{path}.{key}", key, expected, found)
        ]
    if expected == found and isinstance(expected, bool) == isinstance(found, bool):
        return []
    return [f"{path}: expected {_show(expected)}, found {_show(found)}"]


def _compare_member(
    path: str, key: str, expected: dict[str, Json], found: dict[str, Json]
) -> list[str]:
    if key not in found:
        return [f"{path}: expected {_show(expected[key])}, found nothing"]
    if key not in expected:
        return [f"{path}: found {_show(found[key])}, expected nothing"]
    return _compare(path, expected[key], found[key])


def _show(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
