"""Format the numbers of list items and notes (ST_NumberFormat, ECMA-376 Part 1, 17.18.59)."""

# ruff: noqa: RUF001
from collections.abc import Callable
from typing import Final

_ROMAN: Final = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"),
    (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip
_HEBREW: Final = (
    (400, "ת"), (300, "ש"), (200, "ר"), (100, "ק"), (90, "צ"), (80, "פ"), (70, "ע"), (60, "ס"),
    (50, "נ"), (40, "מ"), (30, "ל"), (20, "כ"), (10, "י"), (9, "ט"), (8, "ח"), (7, "ז"), (6, "ו"),
    (5, "ה"), (4, "ד"), (3, "ג"), (2, "ב"), (1, "א"),
)  # fmt: skip
_NOTE_MARKS: Final = "*†‡§"
_LATIN: Final = "abcdefghijklmnopqrstuvwxyz"
_KANA: Final = (
    "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲン"
)
_IROHA: Final = (
    "イロハニホヘトチリヌルヲワカヨタレソツネナラム"
    "ウヰノオクヤマケフコエテアサキユメミシヱヒモセスン"
)
# Sequences of letters. After the last one, letters are repeated: aa, bb.
_LETTERS: Final = {
    "lowerLetter": _LATIN,
    "upperLetter": _LATIN.upper(),
    "russianLower": "абвгдежзиклмнопрстуфхцчшщыэюя",
    "russianUpper": "АБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЩЫЭЮЯ",
    "arabicAlpha": "أبتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "arabicAbjad": "أبجدهوزحطيكلمنسعفصقرشتثخذضظغ",
    "hebrew2": "אבגדהוזחטיכלמנסעפצקרשת",
    "aiueo": _KANA,
    "aiueoFullWidth": _KANA,
    "iroha": _IROHA,
    "ganada": "가나다라마바사아자차카타파하",
    "chosung": "ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊㅋㅌㅍㅎ",
    "ideographTraditional": "甲乙丙丁戊己庚辛壬癸",
    "ideographZodiac": "子丑寅卯辰巳午未申酉戌亥",
    "thaiLetters": "กขคงจฉชซฌญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรลวศษสหฬอฮ",
    "hindiVowels": "कखगघङचछजझञटठडढणतथदधनपफबभमयरलवशषसह",
}
# Digits of the positional systems.
_DIGITS: Final = {
    "decimalFullWidth": "０１２３４５６７８９",
    "decimalFullWidth2": "０１２３４５６７８９",
    "ideographDigital": "〇一二三四五六七八九",
    "japaneseDigitalTenThousand": "〇一二三四五六七八九",
    "taiwaneseDigital": "〇一二三四五六七八九",
    "koreanDigital": "영일이삼사오육칠팔구",
    "koreanDigital2": "零一二三四五六七八九",
    "thaiNumbers": "๐๑๒๓๔๕๖๗๘๙",
    "hindiNumbers": "०१२३४५६७८९",
}
# First character and size of Unicode ranges that contain the numbers from 1 on.
_ENCLOSED: Final = {
    "decimalEnclosedCircle": ("①", 20),
    "decimalEnclosedCircleChinese": ("①", 20),
    "decimalEnclosedFullstop": ("⒈", 20),
    "decimalEnclosedParen": ("⑴", 20),
    "ideographEnclosedCircle": ("㊀", 10),
}
_COUNTING: Final = frozenset({
    "chineseCounting", "chineseCountingThousand", "japaneseCounting", "taiwaneseCounting",
    "taiwaneseCountingThousand", "koreanCounting",
})  # fmt: skip
_MAX_REPEATED_LETTERS: Final = 10


def format_number(count: int, number_format: str) -> str:
    """Return *count* in *number_format*, or in digits if that is unknown or cannot express it."""
    if count <= 0:
        return str(count)
    if number_format in _LETTERS:
        return _repeat_letter(count, _LETTERS[number_format], _MAX_REPEATED_LETTERS)
    if number_format in _DIGITS:
        return "".join(_DIGITS[number_format][int(digit)] for digit in str(count))
    if number_format in _ENCLOSED:
        first, size = _ENCLOSED[number_format]
        return chr(ord(first) + count - 1) if count <= size else str(count)
    if number_format in _COUNTING:
        return _count_in_ideographs(count)
    formatter = _FORMATTERS.get(number_format)
    return formatter(count) if formatter else str(count)


def _repeat_letter(count: int, letters: str, max_repetitions: int) -> str:
    repetitions = (count - 1) // len(letters) + 1
    return letters[(count - 1) % len(letters)] * min(repetitions, max_repetitions)


def _add_up(count: int, numerals: tuple[tuple[int, str], ...]) -> str:
    text = ""
    for value, numeral in numerals:
        text += numeral * (count // value)
        count %= value
    return text


def _format_roman(count: int) -> str:
    return _add_up(count, _ROMAN) if count < 4000 else str(count)


def _format_hebrew(count: int) -> str:
    if count >= 1000:
        return str(count)
    # Hebrew writes 15 and 16 as 9 + 6 and 9 + 7.
    text = _add_up(count, _HEBREW)
    return text.replace("יה", "טו").replace("יו", "טז")


def _count_in_ideographs(count: int) -> str:
    """Return *count* in Chinese numerals such as 二十三, or in digits from 10,000 on."""
    if count >= 10_000:
        return str(count)
    text, has_gap = "", False
    for power, unit in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = count // power % 10
        if not digit:
            has_gap = bool(text)
            continue
        is_ten = power == 10 and digit == 1 and not text
        text += (
            ("〇" if has_gap else "") + ("" if is_ten else "一二三四五六七八九"[digit - 1]) + unit
        )
        has_gap = False
    return text


def _format_ordinal(count: int) -> str:
    is_teen = count % 100 in (11, 12, 13)
    suffix = "th" if is_teen else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count}{suffix}"


_FORMATTERS: Final[dict[str, Callable[[int], str]]] = {
    "lowerRoman": _format_roman,
    "upperRoman": lambda count: _format_roman(count).upper(),
    "decimalZero": lambda count: f"{count:02}",
    "numberInDash": lambda count: f"- {count} -",
    "ordinal": _format_ordinal,
    "hex": lambda count: f"{count:X}",
    "chicago": lambda count: _repeat_letter(count, _NOTE_MARKS, _MAX_REPEATED_LETTERS),
    "hebrew1": _format_hebrew,
    "none": lambda _: "",
}
