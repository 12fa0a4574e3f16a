"""Translation of the codes of carriers and tracking providers.

The tables are in data/carrier_codes.json: by system, the code of each of its codes, with a reason
for some. They follow the public documentation of the systems and were not confirmed with recorded
answers.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from backend.services.packages.model import EventCode, Reason

CARRIER_CODE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_FILE: Final = Path(__file__).parents[1] / "data" / "carrier_codes.json"
# Systems whose codes any carrier may use, in this order.
_COMMON_SYSTEMS: Final = ("upu", "aftership", "easypost", "shippo")


class TranslatedCode(NamedTuple):
    """A code; `is_known` is False for one that no table has, which becomes a note."""

    code: EventCode
    reason: Reason | None = None
    is_known: bool = True


_UNKNOWN: Final = TranslatedCode(EventCode.NOTE, is_known=False)


def translate(raw_code: str, carrier: str) -> TranslatedCode:
    """Return our code for *raw_code*, which is one of ours, of *carrier*, or of another system."""
    try:
        return TranslatedCode(EventCode(raw_code))
    except ValueError:
        pass
    for system in (carrier, *_COMMON_SYSTEMS):
        if found := _load_tables().get(system, {}).get(raw_code):
            return found
    return _UNKNOWN


def translate_status(system: str, *keys: str) -> TranslatedCode:
    """Return our code for the first of *keys* that the table of *system* has, the finest first."""
    table = _load_tables()[system]
    return next((table[key] for key in keys if key in table), _UNKNOWN)


@cache
def _load_tables() -> Mapping[str, Mapping[str, TranslatedCode]]:
    tables: dict[str, dict[str, str | list[str]]] = json.loads(_FILE.read_text("utf-8"))
    return {
        system: {raw_code: _read_entry(entry) for raw_code, entry in table.items()}
        for system, table in tables.items()
    }


def _read_entry(entry: str | list[str]) -> TranslatedCode:
    if isinstance(entry, str):
        return TranslatedCode(EventCode(entry))
    code, reason = entry
    return TranslatedCode(EventCode(code), Reason(reason))
