"""What a user name may be, and which names are the same name.

Two names are one when a reader can't tell them apart: after NFKC, without regard
to case, and with every Cyrillic or Greek letter that looks like a Latin one (in
its large or its small form) read as that one, where that makes the whole name
Latin. The safe set is:

- names in Latin letters with the accents of European languages and of Vietnamese,
- names in Cyrillic letters of which at least one looks like no Latin letter,
- in both, the digits 0-9, and single `.`, `_`, `-` between other characters.

Other scripts are for `display_name`. Look-alikes within Latin (`l` and `1`, `e`
and `é`) stay apart.
"""

# ruff: noqa: RUF001 - look-alikes are what this page is about

import re
import unicodedata
from dataclasses import dataclass

from backend.services.auth.errors import UnfitUsername

MIN_CHARACTERS = 2
MAX_CHARACTERS = 64

# Pairs of a letter and the Latin letter it is read as.
_CYRILLIC = (
    "аa АA вb ВB ԁd ԀD еe ЕE ёë ЁË һh ҺH нh НH іi ІI їï ЇÏ јj ЈJ кk КK ӏl ӀI мm МM "
    "оo ОO рp РP ԛq ԚQ сc СC ѕs ЅS тt ТT уy УY үy ҮY ѵv ѴV ԝw ԜW хx ХX ӕæ ӔÆ"
)
_GREEK = (
    "αa ΑA ΒB γy εe ΕE ΖZ ηn ΗH ιi ΙI κk ΚK ΜM νv ΝN οo ΟO ρp ΡP τt ΤT υu ΥY χx ΧX ωw ϲc ϳj ϹC ͿJ"
)
_LATIN = "ıi ĸk ɑa ɡg ɩi ʋu"
_READ_AS = str.maketrans({pair[0]: pair[1] for pair in f"{_CYRILLIC} {_GREEK} {_LATIN}".split()})

_LATIN_LETTERS = "a-zß-öø-ķĺ-žșțơưḁ-ỿ"
_CYRILLIC_LETTERS = "а-џґғқңұҳәө"


def _written_in(letters: str) -> re.Pattern[str]:
    return re.compile(rf"[{letters}0-9]+(?:[._-][{letters}0-9]+)*")


_IN_LATIN = _written_in(_LATIN_LETTERS)
_IN_CYRILLIC = _written_in(_CYRILLIC_LETTERS)


@dataclass(frozen=True, slots=True)
class Username:
    """A name as it is shown, and the key under which all its spellings meet."""

    shown: str
    key: str


def read_username(text: str) -> Username:
    """*text* as a user name, or UnfitUsername."""
    written = unicodedata.normalize("NFKC", text)
    for name, letters in ((written.translate(_READ_AS), _IN_LATIN), (written, _IN_CYRILLIC)):
        # NFKC again: an accent may join the letter it now stands behind, and
        # casefolding may take a letter apart.
        shown = unicodedata.normalize("NFKC", name)
        key = unicodedata.normalize("NFKC", shown.casefold())
        if letters.fullmatch(key):
            return _of_fit_length(Username(shown, key))
    raise UnfitUsername(
        "A user name is made of Latin letters or of Cyrillic ones, digits, and single '.', "
        "'_' or '-' between them. Use display_name for a name in another script."
    )


def _of_fit_length(name: Username) -> Username:
    if len(name.shown) < MIN_CHARACTERS or len(name.key) > MAX_CHARACTERS:
        raise UnfitUsername(f"A user name has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters.")
    return name


def name_key(name: str) -> str:
    """One value for all spellings of what somebody signs in as, be it fit or not."""
    if "@" in name:
        return email_key(name)
    try:
        return read_username(name).key
    except UnfitUsername:
        return email_key(name)


def email_key(email: str) -> str:
    """One value for all spellings of an e-mail address that we take for the same."""
    return unicodedata.normalize("NFKC", email).casefold()
