"""Validation and comparison of usernames and e-mail addresses.

Two usernames are equal if readers cannot distinguish them: after NFKC normalization, ignoring
case, and with every Cyrillic or Greek letter whose uppercase or lowercase form looks like a
Latin letter replaced by it, provided that the whole name becomes Latin. Allowed are:

- names in Latin letters with the accents of European languages, of Pinyin and of Vietnamese,
- names in Cyrillic letters, at least one of which does not look like a Latin letter,
- in both, the digits 0-9, and single `.`, `_`, `-` between other characters.

Case is ignored by full case folding (Unicode Standard, 3.13), so that `ß` equals `ss`. The Turkish
letters `İ` and `ı` equal `i` and `I`: in Turkish they are the uppercase of `i` and the lowercase of
`I`, and the language of a name is unknown.

A name is displayed as it is written, in the normal form NFKC, which also makes full-width letters
narrow as RFC 8265, 3.3 requires (UsernameCaseMapped). Only letters of another script in a name that
is Latin are replaced. The displayed name keeps its case: RFC 8265, 3.3.3 maps case only for
comparison.

Names in other scripts belong in `display_name`. Look-alikes within Latin (`l` and `1`, `e` and `é`)
are different names.
"""

# ruff: noqa: RUF001, RUF002 - this module lists confusable characters

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


def _create_translation(pairs: str) -> dict[int, str]:
    return str.maketrans({pair[0]: pair[1] for pair in pairs.split()})


_TO_LATIN_SCRIPT = _create_translation(f"{_CYRILLIC} {_GREEK}")
_TO_BASIC_LATIN = _create_translation(_LATIN)
_DOTTED_I = "i\u0307"  # the case folding of U+0130

_LATIN_LETTERS = "a-zß-öø-ķĺ-žơưǎ-ǜǧǩǫǵǹșțḁ-ỿ"
_CYRILLIC_LETTERS = "а-џґғқңұҳәө"


def _compile_name_pattern(letters: str) -> re.Pattern[str]:
    return re.compile(rf"[{letters}0-9]+(?:[._-][{letters}0-9]+)*")


_LATIN_NAME = _compile_name_pattern(_LATIN_LETTERS)
_CYRILLIC_NAME = _compile_name_pattern(_CYRILLIC_LETTERS)
_ALLOWED_CHARACTERS = re.compile(rf"[{_LATIN_LETTERS}{_CYRILLIC_LETTERS}0-9._-]+")


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
    # Normalize again: an accent may combine with the replaced letter before it.
    latin = unicodedata.normalize("NFKC", normalized.translate(_TO_LATIN_SCRIPT))
    for shown, pattern in ((latin, _LATIN_NAME), (normalized, _CYRILLIC_NAME)):
        key = _fold(shown)
        if pattern.fullmatch(key):
            return _check_length(Username(shown, key))
    raise InvalidUsername(_explain(normalized))


def _fold(name: str) -> str:
    """Return the lookup key of *name*, whose letters are all of one script."""
    folded = name.translate(_TO_BASIC_LATIN).casefold().replace(_DOTTED_I, "i")
    # Case folding may decompose a letter.
    return unicodedata.normalize("NFKC", folded)


def _explain(name: str) -> str:
    """Return the reason why *name* is not allowed, with its first forbidden character, if any."""
    text = (
        "A user name consists of letters of one alphabet, Latin with common accents or Cyrillic, "
        "of digits, and of single '.', '_' or '-' between them. "
    )
    for character in name:
        key = _fold(character.translate(_TO_LATIN_SCRIPT))
        if not _ALLOWED_CHARACTERS.fullmatch(key) and not _ALLOWED_CHARACTERS.fullmatch(character):
            code_point = f"U+{ord(character):04X}"
            text += f"The character {code_point} is not one of them. "
            break
    return text + "Use display_name for other names."


def _check_length(name: Username) -> Username:
    # A letter with a combining accent has two characters in the name but may have one in the key.
    shortest = min(len(name.display), len(name.key))
    if shortest < MIN_USERNAME_CHARACTERS or len(name.key) > MAX_USERNAME_CHARACTERS:
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
