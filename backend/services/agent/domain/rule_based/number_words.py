"""Replace number words by digits: English, German, French, Spanish, Italian and Russian."""

import re
from collections.abc import Iterator
from typing import Final

_ZERO_TO_NINE: Final = (
    "zero one two three four five six seven eight nine",
    "null eins zwei drei vier fünf sechs sieben acht neun",
    "zéro un deux trois quatre cinq six sept huit neuf",
    "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "ноль один два три четыре пять шесть семь восемь девять",
    "zero uno due tre quattro cinque sei sette otto nove",
)
_TEN_TO_NINETEEN: Final = (
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen",
    "zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn",
    "dix onze douze treize quatorze quinze seize",
    "diez once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve",
    "dieci undici dodici tredici quattordici quindici sedici diciassette diciotto diciannove",
    "десять одиннадцать двенадцать тринадцать четырнадцать пятнадцать шестнадцать семнадцать",
)
_TENS: Final = (
    "twenty thirty forty fifty sixty seventy eighty ninety",
    "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
    "vingt trente quarante cinquante soixante",
    "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    "venti trenta quaranta cinquanta sessanta settanta ottanta novanta",
    "двадцать тридцать сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто",
)
_VALUES: Final = {
    **{word: value for words in _ZERO_TO_NINE for value, word in enumerate(words.split())},
    **{word: value for words in _TEN_TO_NINETEEN for value, word in enumerate(words.split(), 10)},
    **{word: 10 * value for words in _TENS for value, word in enumerate(words.split(), 2)},
    "ein": 1,
    "eine": 1,
    "une": 1,
    "vingts": 20,
    "восемнадцать": 18,
    "девятнадцать": 19,
    "zwo": 2,
    "veintiún": 21,
    "veintiuno": 21,
    "veintidós": 22,
    "veintitrés": 23,
    "veinticuatro": 24,
    "veinticinco": 25,
    "veintiséis": 26,
    "veintisiete": 27,
    "veintiocho": 28,
    "veintinueve": 29,
    "ventuno": 21,
    "ventotto": 28,
    "trentuno": 31,
    "trentotto": 38,
    "doscientos": 200,
    "trescientos": 300,
    "cuatrocientos": 400,
    "quinientos": 500,
}
_MULTIPLIERS: Final = {
    "hundred": 100,
    "hundert": 100,
    "cent": 100,
    "cents": 100,
    "cien": 100,
    "ciento": 100,
    "cento": 100,
    "сто": 100,
    "тысяча": 1000,
    "тысячи": 1000,
    "тысяч": 1000,
    "thousand": 1000,
    "tausend": 1000,
    "mille": 1000,
    "mil": 1000,
    "mila": 1000,
    "million": 10**6,
    "millionen": 10**6,
    "millions": 10**6,
}
_JOINERS: Final = frozenset({"and", "und", "et", "y", "e"})
_LETTERS = re.compile(r"[^\W\d_]+(?:(?:-|\s+)[^\W\d_]+)*")
# Words that are written together, as in "zweihundertfünf", are divided into these, longest first.
_PART = re.compile(
    "|".join(sorted((*_VALUES, *_MULTIPLIERS, "und"), key=lambda word: (-len(word), word)))
)


def replace_number_words(text: str) -> str:
    """Return *text* with digits for number words, as in "12" for "twelve" or "zwölf"."""
    return _LETTERS.sub(lambda match: " ".join(_convert_words(match.group())), text)


def _convert_words(words: str) -> Iterator[str]:
    """Yield each of *words*, with one number in place of each sequence of number words."""
    number: list[str] = []
    for word in re.split(r"[-\s]+", words):
        parts = _split_number_word(word.casefold())
        if parts or (number and word.casefold() in _JOINERS):
            number += parts or [word]
            continue
        yield from _finish_number(number)
        number = []
        yield word
    yield from _finish_number(number)


def _split_number_word(word: str) -> list[str]:
    """Return the number words that *word* consists of; an empty list if it is not a number."""
    parts = _PART.findall(word)
    return parts if parts != ["und"] and "".join(parts) == word else []


def _finish_number(parts: list[str]) -> Iterator[str]:
    """Yield the value of *parts*, then a final joiner such as "and", which is not part of it."""
    rest = [parts.pop()] if parts and parts[-1] in _JOINERS else []
    if parts:
        yield str(_compute_value(parts))
    yield from rest


def _compute_value(parts: list[str]) -> int:
    total = current = 0
    for part in parts:
        if part in _JOINERS:
            continue
        if part in {"vingt", "vingts"} and current % 100 == 4:
            current += 76  # quatre-vingts
        elif part in _VALUES:
            current += _VALUES[part]
        elif (multiplier := _MULTIPLIERS[part]) == 100:
            current = current - current % 100 + (current % 100 or 1) * 100
        else:
            total, current = total + (current or 1) * multiplier, 0
    return total + current
