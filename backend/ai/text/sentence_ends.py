"""Marks that end a sentence in any script, and abbreviations whose full stop does not."""

# ruff: noqa: RUF001 - non-Latin letters are intended
import re
from typing import Final

# Scripts without spaces between words: Thai, Lao, Burmese, Khmer, kana and ideographs.
UNSPACED_SCRIPTS: Final = (
    r"\u0e01-\u0eff\u1000-\u109f\u1780-\u17d3\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
)
# Scripts without sentence marks and without spaces between words: Thai, Lao and Khmer.
CLAUSE_SCRIPTS: Final = r"\u0e01-\u0e2e\u0e30-\u0e45\u0e47-\u0e4e\u0e81-\u0edf\u1780-\u17d3"
# The Unicode property Sentence_Terminal (UAX #29) in the Basic Multilingual Plane without `.`, `!`
# and `?`, and the shad of Tibetan. The full-width full stop, which also occurs in numbers, is in
# the patterns. No space has to follow these marks.
END_MARKS: Final = (
    r"\u0589\u061d-\u061f\u06d4\u0700-\u0702\u07f9\u0837\u0839\u083d\u083e\u0964\u0965\u0f0d\u0f0e"
    r"\u104a\u104b\u1362\u1367\u1368\u166e\u1735\u1736\u17d4\u17d5\u1803\u1809\u1944\u1945"
    r"\u1aa8-\u1aab\u1b5a\u1b5b\u1b5e\u1b5f\u1c3b\u1c3c\u1c7e\u1c7f\u203c\u203d\u2047-\u2049"
    r"\u2e2e\u2e3c\u3002\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\ua92f\ua9c8\ua9c9"
    r"\uaa5d-\uaa5f\uaaf0\uaaf1\uabeb\ufe12\ufe15\ufe16\ufe52\ufe56\ufe57\uff01\uff1f\uff61"
)
# Quotation marks, brackets and marks of emphasis that close after the end mark.
CLOSERS: Final = r"\"'”\u2019»)\]*_~」』】》\u3009\uff09\uff63"

# Pattern of the end of a sentence, to be matched at its first mark.
_END_PATTERN: Final = (
    rf"[.!?…]++[{CLOSERS}]*+(?=\s)"
    rf"|[!?]++[{CLOSERS}]*+(?=[{UNSPACED_SCRIPTS}])"
    rf"|(?:[{END_MARKS}]|\uff0e(?!\d))++[{CLOSERS}]*+"
)
_SENTENCE_END: Final = re.compile(_END_PATTERN)
# The same pattern for `finditer`. It tries to match a run of full stops only at its start: matching
# at each full stop would take quadratic time for a document of full stops.
_FIRST_MARK: Final = rf"(?:(?<![.!?…])(?=[.!?…])|(?=[\uff0e{END_MARKS}]))"
SENTENCE_ENDS: Final = re.compile(f"{_FIRST_MARK}(?:{_END_PATTERN})")
_FINISHED = re.compile(rf"[.!?…\uff0e{END_MARKS}][{CLOSERS}]*$")
_PUNCTUATED = re.compile(rf"[.!?…:;\uff0e\uff1a\uff1b{END_MARKS}][{CLOSERS}]*$")

_UNSPACED_END = re.compile(rf"[{UNSPACED_SCRIPTS}]$")

_DAY_NUMBER = re.compile(r"(?<!\d)\d{1,2}$")
# German words before and after an ordinal number, and Turkish ones after it. Most languages write
# the word after such a number in lower case.
_BEFORE_ORDINAL = re.compile(
    r"(?<!\w)(?:im|der|dem|zum|zur|vom|beim|[Jj]ede[mnrs]?|eine[mnr])\s+\d{1,2}$"
)
_AFTER_ORDINAL = re.compile(
    r"(?:Januar|Jänner|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember"
    r"|(?:Jan|Jän|Feb|Mär|Mrz|Apr|Jun|Jul|Aug|Sept?|Okt|Nov|Dez)\."
    r"|Jahrhundert|Jahrtausend|Stock|Etage|Obergeschoss|Untergeschoss|OG|UG|Klasse|Schuljahr|Semester"
    r"|Stunde|Tag|Werktag|Arbeitstag|Kalendertag|Woche|Kalenderwoche|KW|Monat|Quartal|Halbjahr|Jahr"
    r"|Lebensjahr|Geburtstag|Advent|Weltkrieg|Auflage|Ausgabe|Kapitel|Abschnitt|Absatz|Teil|Band"
    r"|Platz|Rang|Preis|Mal|Rate|Mahnung|Stufe|Instanz|Spieltag|Halbzeit|Dünya|Madde)"
)
# Longest text before the number that is searched for such a word, in characters.
_MAX_BEFORE_ORDINAL_CHARS: Final = 16
_LIST_NUMBER = re.compile(r"\s*\d{1,3}\.")
_LAST_WORD = re.compile(r"(?<!\S)(\S++)$")
# A lower-case letter after a number is a unit or the Russian mark of a year, not an initial.
_UNIT = re.compile(r"\d[^\S\n]+[^\W\d_]$")
_NUMBER = re.compile(r"\d|[IVXLC]{2,}\b|[VX]\b")
_NON_SPACE = re.compile(r"\S")
_MAX_ABBREVIATION_CHARS: Final = 12
_ABBREVIATIONS: Final = frozenset(
    [
        *("al", "approx", "ca", "cf", "ch", "co", "corp", "dr", "e.g", "ed", "eds", "eq", "etc"),
        *("fig", "figs", "gen", "gov", "i.e", "inc", "jr", "lt", "ltd", "mr", "mrs", "ms", "mt"),
        *("op", "pp", "prof", "rev", "sen", "sgt", "sr", "st", "u.k", "u.n", "u.s", "vol", "vs"),
        *("capt", "cmdr", "col", "maj", "hon", "messrs", "tel", "тел", "τηλ"),
        *("jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"),
        # German
        *("nr", "nrn", "bzw", "z.b", "d.h", "u.a", "i.d.r", "evtl", "ggf", "inkl", "zzgl", "abzgl"),
        *("vgl", "ziff", "buchst", "hr", "hrn", "fr", "ing", "dipl", "mio", "mrd"),
        *("okt", "dez", "jän", "mrz", "mär"),
        # French, Italian, Spanish, Portuguese, Romanian
        *("mme", "mlle", "sig", "sig.ra", "dott", "avv", "sra", "srta", "dra", "dña", "ud", "uds"),
        *("núm", "ee", "excmo", "str", "dl", "dna", "alin"),
        # Dutch, Polish, Turkish, Vietnamese
        *("dhr", "mevr", "św", "ul", "doç", "ths", "tp", "pgs"),
        # Russian, Greek
        *("ул", "им", "т.д", "т.е", "стр", "тыс", "млн", "млрд", "проф", "просп", "пос", "обл"),
        *("π.χ", "σελ", "αρ", "οδ", "αγ", "δρ"),
        # Thai
        *("พ.ศ", "ค.ศ"),
    ]
)
# Abbreviations that only precede numbers. They also occur as words or at the end of a sentence.
_ABBREVIATIONS_BEFORE_NUMBERS: Final = frozenset(
    [
        *("no", "nos", "art", "sec", "par", "fax", "ext", "max", "min", "app", "apt", "ave"),
        *("bldg", "rm"),
        # German
        *("abs", "abb", "anl", "anm", "aufl", "bd", "kap", "rn", "tab", "hausnr", "pos"),
        # Spanish, French, Romanian, Dutch, Polish, Turkish, Russian, Greek
        *("pág", "págs", "av", "aprox", "pag", "bl", "blz", "godz", "poz", "cad", "sok", "mah"),
        *("bkz", "md", "lit", "рис", "табл", "гл", "ст", "кв", "άρθρ", "παρ", "κεφ"),
    ]
)


def match_sentence_end(text: str, position: int) -> re.Match[str] | None:
    """Return the match of a sentence end whose first mark is at *position*, or None."""
    return _SENTENCE_END.match(text, position)


def is_finished(text: str) -> bool:
    """Return True if *text* ends with a mark that ends sentences, in any script."""
    return bool(_FINISHED.search(text))


def ends_without_mark(text: str) -> bool:
    """Return True if *text* ends with a letter of an unspaced script, which needs no end mark."""
    return bool(_UNSPACED_END.search(text))


def has_final_punctuation(text: str) -> bool:
    """Return True if *text* ends with an end mark of a sentence, a colon or a semicolon."""
    return bool(_PUNCTUATED.search(text))


def is_list_number(text: str) -> bool:
    """Return True if *text* is only the number of a list item, such as "3."."""
    return bool(_LIST_NUMBER.fullmatch(text))


def is_full_stop(text: str, start: int, mark: int, next_word: int | None) -> bool:
    """Return True if the full stop at *mark* ends a sentence.

    The sentence starts at *start*, and the next word of the same block at *next_word*. It is None
    if no word follows.
    """
    if next_word is not None:
        if text[next_word].islower() or is_ordinal(text, start, mark, next_word):
            return False
        if _NUMBER.match(text, next_word) and _precedes_number(_get_last_word(text, start, mark)):
            return False
    return not ends_with_abbreviation(text, start, mark)


def depends_on_next_word(text: str) -> bool:
    """Return True if it takes the whole next word to decide whether a full stop ends *text*."""
    return bool(_DAY_NUMBER.search(text)) or _precedes_number(_get_last_word(text, 0, len(text)))


def _precedes_number(word: str) -> bool:
    # German streets: "Hauptstr. 5".
    return word in _ABBREVIATIONS_BEFORE_NUMBERS or word.endswith("str")


def find_next_word(text: str, position: int, end: int) -> int | None:
    """Return the position of the first character in `text[position:end]` that is no white space."""
    next_char = _NON_SPACE.search(text, position, end)
    return next_char.start() if next_char else None


def is_ordinal(text: str, start: int, mark: int, next_word: int) -> bool:
    """Return True if the full stop at *mark* makes an ordinal, as in the German "31. März".

    The sentence starts at *start*, and the next word at *next_word*.
    """
    if not _DAY_NUMBER.search(text, max(start, mark - 3), mark):
        return False
    if _AFTER_ORDINAL.match(text, next_word):
        return True
    return text[next_word].isalpha() and bool(
        _BEFORE_ORDINAL.search(text, max(start, mark - _MAX_BEFORE_ORDINAL_CHARS), mark)
    )


def ends_with_abbreviation(text: str, start: int, end: int) -> bool:
    """Return True if `text[start:end]`, which precedes a full stop, ends with an abbreviation.

    An initial, such as the letter of "B.", counts as one.
    """
    word = _get_last_word(text, start, end)
    if len(word) == 1 and word.isalpha():
        is_unit = text[end - 1].islower() and _UNIT.search(
            text, max(start, end - _MAX_ABBREVIATION_CHARS), end
        )
        return not is_unit
    return word in _ABBREVIATIONS


def _get_last_word(text: str, start: int, end: int) -> str:
    last_word = _LAST_WORD.search(text[max(start, end - _MAX_ABBREVIATION_CHARS) : end])
    return last_word.group(1).lstrip("(\"'“").lower() if last_word else ""
