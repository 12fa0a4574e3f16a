"""Validation and comparison of usernames and e-mail addresses.

Two usernames are equal if readers cannot distinguish them: after NFKC normalization, ignoring
case, and with every Cyrillic or Greek letter whose uppercase or lowercase form looks like a
Latin letter replaced by it, provided that the whole name becomes Latin. Allowed are:

- names in Latin letters with the accents of European languages and of Vietnamese,
- names in Cyrillic letters, at least one of which does not look like a Latin letter,
- in both, the digits 0-9, and single `.`, `_`, `-` between other characters.

Names in other scripts belong into `display_name`. Look-alikes within Latin (`l` and `1`, `e`
and `é`) are different names.
"""

# ruff: noqa: RUF001 - this module lists confusable characters

import re
import unicodedata
from dataclasses import dataclass

from backend.services.auth.errors import InvalidUsername

MIN_USERNAME_CHARACTERS = 2
MAX_USERNAME_CHARACTERS = 64

# Pairs of a letter and the Latin letter that it looks like.
_CYRILLIC = (
    "аa АA вb ВB ԁd ԀD еe ЕE ёë ЁË һh ҺH нh НH іi ІI їï ЇÏ јj ЈJ кk КK ӏl ӀI мm МM "
    "оo ОO рp РP ԛq ԚQ сc СC ѕs ЅS тt ТT уy УY үy ҮY ѵv ѴV ԝw ԜW хx ХX ӕæ ӔÆ"
)
_GREEK = (
    "αa ΑA ΒB γy εe ΕE ΖZ ηn ΗH ιi ΙI κk ΚK ΜM νv ΝN οo ΟO ρp ΡP τt ΤT υu ΥY χx ΧX ωw ϲc ϳj ϹC ͿJ"
)
_LATIN = "ıi ĸk ɑa ɡg ɩi ʋu"
_TO_LATIN = str.maketrans({pair[0]: pair[1] for pair in f"{_CYRILLIC} {_GREEK} {_LATIN}".split()})

_LATIN_LETTERS = "a-zß-öø-ķĺ-žșțơưḁ-ỿ"
_CYRILLIC_LETTERS = "а-џґғқңұҳәө"


def _compile_name_pattern(letters: str) -> re.Pattern[str]:
    return re.compile(rf"[{letters}0-9]+(?:[._-][{letters}0-9]+)*")


_LATIN_NAME = _compile_name_pattern(_LATIN_LETTERS)
_CYRILLIC_NAME = _compile_name_pattern(_CYRILLIC_LETTERS)


@dataclass(frozen=True, slots=True)
class Username:
    """A username as displayed, and its lookup key, equal for all look-alike spellings."""

    display: str
    key: str


def parse_username(text: str) -> Username:
    """Parse a username.

    Raises:
        InvalidUsername: the name is not allowed.
    """
    normalized = unicodedata.normalize("NFKC", text)
    for name, letters in (
        (normalized.translate(_TO_LATIN), _LATIN_NAME),
        (normalized, _CYRILLIC_NAME),
    ):
        # Normalize again: an accent may combine with the replaced letter before it, and
        # casefolding may decompose a letter.
        shown = unicodedata.normalize("NFKC", name)
        key = unicodedata.normalize("NFKC", shown.casefold())
        if letters.fullmatch(key):
            return _check_length(Username(shown, key))
    raise InvalidUsername(
        "A user name consists of Latin or Cyrillic letters, digits, and single '.', '_' or '-' "
        "between them. Use display_name for a name in another script."
    )


def _check_length(name: Username) -> Username:
    if len(name.display) < MIN_USERNAME_CHARACTERS or len(name.key) > MAX_USERNAME_CHARACTERS:
        raise InvalidUsername(
            f"A user name must have {MIN_USERNAME_CHARACTERS} to {MAX_USERNAME_CHARACTERS} "
            "characters."
        )
    return name


def normalize_login_name(name: str) -> str:
    """Return a lookup key of a username or e-mail address, equal for all its spellings.

    The name need not be valid.
    """
    if "@" in name:
        return normalize_email(name)
    try:
        return parse_username(name).key
    except InvalidUsername:
        return normalize_email(name)


def normalize_email(email: str) -> str:
    """Return a lookup key of an e-mail address: NFKC-normalized and casefolded."""
    return unicodedata.normalize("NFKC", email).casefold()
