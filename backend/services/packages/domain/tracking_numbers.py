"""Identification of tracking numbers by the formats of couriers.json.

Each format has a pattern, and most have a check digit. https://github.com/jkeen/tracking_number_data
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

# With separators.
_MAX_TEXT_CHARACTERS: Final = 160
_FILE: Final = Path(__file__).parents[1] / "data" / "couriers.json"
# Spaces, dots and dashes, and characters without a glyph that are copied from web pages.
_SEPARATORS: Final = re.compile(
    r"[\s.\u2010-\u2015\u2212\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff-]"
)
# Application identifier of an SSCC (GS1 General Specifications, 3.2), as it is printed on labels.
_SSCC_IDENTIFIER: Final = re.compile(r"\(00\)(?=[0-9]{18}$)")
_SSCC_BARCODE: Final = re.compile(r"00[0-9]{18}")
_NUMBER: Final = re.compile(r"[A-Z0-9]{4,64}")


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """A format of tracking numbers.

    Attributes:
        carrier: code of the carrier, such as `ups`.
        carrier_name: its name.
        name: name of the format.
        has_check_digit: False if the pattern alone decides.
    """

    carrier: str
    carrier_name: str
    name: str
    pattern: re.Pattern[str]
    validation: Mapping[str, Any]
    lookups: Mapping[str, tuple[str, Sequence[re.Pattern[str]]]]

    @property
    def has_check_digit(self) -> bool:
        return "checksum" in self.validation


@dataclass(frozen=True, slots=True)
class Identification:
    """Result for one number: its carrier, or several candidates.

    Attributes:
        number: in capitals without separators.
        carrier: None without a candidate, if the candidates are of several carriers and the check
            digit does not decide, and for the barcode of an SSCC (00 and 18 digits). It names no
            carrier: DHL and others use it, and its check digit is that of USPS as well.
        candidates: the formats that the number has, those with a check digit first.
    """

    number: str
    carrier: str | None
    candidates: Sequence[NumberFormat]

    @property
    def is_valid(self) -> bool:
        return bool(self.candidates)


def identify(text: str) -> Identification:
    """Return the carrier and the candidates of the tracking number *text*."""
    text = text.strip().upper()
    number = normalize(text)
    if len(text) > _MAX_TEXT_CHARACTERS or not number.strip("0"):
        return Identification(number, None, ())
    matching = [each for each in load_formats() if _matches(each, number)]
    if not matching:
        # Some numbers of LaserShip have a dash.
        matching = [each for each in load_formats() if _matches(each, text)]
    matching.sort(key=lambda each: not each.has_check_digit)
    checked = {each.carrier for each in matching if each.has_check_digit}
    carriers = checked or {each.carrier for each in matching}
    is_certain = len(carriers) == 1 and not _SSCC_BARCODE.fullmatch(number)
    return Identification(number, carriers.pop() if is_certain else None, matching)


def normalize(text: str) -> str:
    """Return a tracking number in capitals without spaces, dots, dashes and the (00) of an SSCC."""
    number = _SSCC_IDENTIFIER.sub("", _SEPARATORS.sub("", text))
    # The capitals of some letters are others: those of "ß" are "SS". No number has such letters.
    return number.upper() if number.isascii() else number


def is_number(number: str) -> bool:
    """Return whether the normalised *number* has 4 to 64 letters and digits."""
    return _NUMBER.fullmatch(number) is not None


@cache
def load_formats() -> Sequence[NumberFormat]:
    """Return the formats of couriers.json."""
    return tuple(_read_formats(json.loads(_FILE.read_text("utf-8"))))


@cache
def load_carriers() -> Mapping[str, str]:
    """Return the names of the known carriers by code."""
    return {each.carrier: each.carrier_name for each in load_formats()}


def _read_formats(couriers: Sequence[Mapping[str, Any]]) -> Iterator[NumberFormat]:
    for courier in couriers:
        for entry in courier["tracking_numbers"]:
            source = "".join(entry["regex"]).replace("(?<", "(?P<")
            source = source.replace("(?P<=", "(?<=").replace("(?P<!", "(?<!")
            required = entry["validation"].get("additional", {}).get("exists", ())
            yield NumberFormat(
                carrier=courier["courier_code"],
                carrier_name=courier["name"],
                name=entry["name"],
                pattern=re.compile(source),
                validation=entry["validation"],
                lookups={
                    part["name"]: (part["regex_group_name"], _read_lookup(part["lookup"]))
                    for part in entry.get("additional", ())
                    if part["name"] in required
                },
            )


def _read_lookup(entries: Sequence[Mapping[str, Any]]) -> Sequence[re.Pattern[str]]:
    return [
        re.compile(entry.get("matches_regex") or re.escape(entry["matches"])) for entry in entries
    ]


def _matches(number_format: NumberFormat, text: str) -> bool:
    match = number_format.pattern.fullmatch(text)
    if match is None:
        return False
    groups = {name: re.sub(r"\s", "", value or "") for name, value in match.groupdict().items()}
    for group, patterns in number_format.lookups.values():
        if not any(pattern.fullmatch(groups[group]) for pattern in patterns):
            return False
    checksum = number_format.validation.get("checksum")
    if checksum is None:
        return True
    serial = groups["SerialNumber"]
    rule = number_format.validation.get("serial_number_format", {}).get("prepend_if")
    if rule and re.fullmatch(rule["matches_regex"], serial):
        serial = rule["content"] + serial
    return _CHECKS[checksum["name"]](serial, checksum) == groups["CheckDigit"]


def _mod10(serial: str, rule: Mapping[str, Any]) -> str:
    characters = serial[::-1] if rule.get("reverse") else serial
    multipliers = (rule["evens_multiplier"], rule["odds_multiplier"])
    total = sum(
        (int(char) if char.isdigit() else (ord(char) - 3) % 10) * multipliers[index % 2]
        for index, char in enumerate(characters)
    )
    return str(-total % 10)


def _mod7(serial: str, _rule: Mapping[str, Any]) -> str:
    return str(int(serial) % 7)


def _luhn(serial: str, _rule: Mapping[str, Any]) -> str:
    digits = [int(char) * (2 - index % 2) for index, char in enumerate(reversed(serial))]
    return str(-sum(digit - 9 if digit > 9 else digit for digit in digits) % 10)


def _weighted_sum(serial: str, rule: Mapping[str, Any]) -> str:
    total = sum(int(char) * weight for char, weight in zip(serial, rule["weightings"], strict=True))
    return str(total % rule["modulo1"] % rule["modulo2"])


def _s10(serial: str, rule: Mapping[str, Any]) -> str:
    total = sum(int(char) * weight for char, weight in zip(serial, rule["weightings"], strict=True))
    check = 11 - total % 11
    return str({10: 0, 11: 5}.get(check, check))


def _mod_37_36(serial: str, rule: Mapping[str, Any]) -> str:
    """Return the check character of ISO/IEC 7064, MOD 37,36."""
    alphabet, modulus = rule["alphabet"], rule["modulo"]
    value = modulus
    for char in serial:
        value = (value + alphabet.index(char)) % modulus or modulus
        value = value * 2 % (modulus + 1)
    return str(alphabet[(modulus + 1 - value) % modulus])


_CHECKS: Final[Mapping[str, Callable[[str, Mapping[str, Any]], str]]] = {
    "luhn": _luhn,
    "mod10": _mod10,
    "mod7": _mod7,
    "mod_37_36": _mod_37_36,
    "s10": _s10,
    "sum_product_with_weightings_and_modulo": _weighted_sum,
}
