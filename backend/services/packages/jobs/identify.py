"""`python -m backend.services.packages identify NUMBER…`: carriers of tracking numbers."""

import argparse
import json
import sys
from collections.abc import Sequence

from backend.services.packages.domain.tracking_numbers import Identification, identify


def main(arguments: Sequence[str]) -> int:
    """Print a JSON object for each number, in order. `-` reads numbers from lines of stdin."""
    parser = argparse.ArgumentParser(prog="python -m backend.services.packages identify")
    parser.add_argument("numbers", metavar="NUMBER", nargs="+", help="a tracking number, or -")
    options = parser.parse_args(arguments)
    for argument in options.numbers:
        lines = (line.rstrip("\r\n") for line in sys.stdin) if argument == "-" else (argument,)
        for number in lines:
            sys.stdout.write(json.dumps(to_json(identify(number), number)) + "\n")
    return 0


def to_json(result: Identification, text: str) -> dict[str, object]:
    """Return *result* for the number *text* as a JSON object."""
    return {
        "number": text,
        "carrier": result.carrier,
        "valid": result.is_valid,
        "candidates": [
            {"carrier": each.carrier, "format": each.name, "check_digit": each.has_check_digit}
            for each in result.candidates
        ],
    }
