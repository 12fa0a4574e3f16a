"""Replace words of arithmetic by signs in languages other than those of `arithmetic_requests`.

In Russian, Chinese, Japanese, Korean and Thai the words for the operations are distinct from other
words, or written next to the numbers without spaces, so that they can be replaced in any request.
In the other languages they are replaced between two numbers.
"""

# ruff: noqa: RUF001 - non-Latin letters are intended
import re
from typing import Final

_FULL_WIDTH: Final = str.maketrans(
    "０１２３４５６７８９＋－＊／（）％．，＝？", "0123456789+-*/()%.,=?"
)
_WORDS_OF_QUESTION: Final = re.compile(
    r"^(?:сколько (?:будет|это|равно)|чему равн[оа]|вычисли(?:те)?|посчитай(?:те)?)\b"
    r"|请问|請問|计算|計算|算一下|(?:等于|等於|是|得)?(?:多少|几|幾)[？?]?$"
    r"|(?:[はをの])?(?:答えは)?(?:いくら|いくつ|何|なん|計算して)?(?:ですか|になりますか|ください)[。？?]?$"
    r"|は[。？?]?$|(?:は)?(?:いくら|いくつ|何|なん)[。？?]?$"
    r"|(?<=\d)[은는][?.]?$"
    r"|[은는이가]? ?(?:얼마|몇|무엇|뭐)(?:입니까|인가요|예요|이에요|이야|야)?[?.]?$"
    r"|(?:เท่ากับ|ได้|เป็น)?(?:เท่าไร|เท่าไหร่)(?:ครับ|ค่ะ|คะ)?[?]?$",
    re.IGNORECASE,
)
_SIGNS: Final = (
    (
        r"\b(?:по|у)множ(?:ить|енное|енный) на\b|乘以|乘上|乘|かける|掛ける|곱하기|คูณด้วย|คูณ",
        "*",
    ),
    (
        r"\b(?:(?:раз|по)?делить|(?:раз)?дел[её]нн(?:ое|ый)) на\b|除以|わる|割る|나누기|หารด้วย|หาร",
        "/",
    ),
    (r"\b(?:плюс|прибавить)\b|加上|加|たす|足す|プラス|더하기|บวก", "+"),
    (r"\b(?:минус|отнять|вычесть)\b|减去|減去|减|減|ひく|引く|マイナス|빼기|ลบด้วย|ลบ", "-"),
    (r"\bв степени\b", "^"),
    (r"\bв квадрате\b|的平方|の2乗|の二乗", "^2"),
)
# Greek, Turkish, Romanian, Vietnamese, Arabic and Hindi.
_SIGNS_BETWEEN_NUMBERS: Final = (
    (r"επί|çarpı|kere|ori|înmulțit cu|nhân(?: với)?|ضرب|في|गुणा", "*"),
    (r"διά|bölü|împărțit la|chia(?: cho)?|مقسوم على|على|قسمة|भाग", "/"),
    (r"συν|artı|plus|cộng(?: với)?|زائد|जमा|धन|जोड़", "+"),
    (r"μείον|πλην|eksi|minus|trừ|ناقص|घटा|माइनस", "-"),
)
_QUESTIONS: Final = re.compile(
    r"^(?:πόσο (?:κάνει|είναι)|cât (?:fac|face|este)|كم (?:يساوي|حاصل|ناتج)|ما (?:هو )?ناتج)"
    r"\s+(?=\d)"
    r"|(?<=\d)\s+(?:kaç eder|kaçtır|kaç|eder mi|bằng (?:mấy|bao nhiêu)|là (?:mấy|bao nhiêu)"
    r"|(?:कितना|कितने) (?:होता|होते) (?:है|हैं)|कितना है|κάνει πόσο|يساوي كم)(?=\W*$)",
    re.IGNORECASE,
)
_SIGN_PATTERNS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), f" {sign} ") for pattern, sign in _SIGNS
)
_SIGN_PATTERNS_BETWEEN_NUMBERS: Final = tuple(
    (re.compile(rf"(?<=\d)\s+(?:{words})\s+(?=\d)", re.IGNORECASE), f" {sign} ")
    for words, sign in _SIGNS_BETWEEN_NUMBERS
)
_DIGITS: Final = {char: value for value, char in enumerate("零一二三四五六七八九")} | {
    "〇": 0,
    "两": 2,
    "兩": 2,
}
_POWERS: Final = {"十": 10, "百": 100, "千": 1000}
_IDEOGRAPHS: Final = "".join((*_DIGITS, *_POWERS))
_PERCENTAGES: Final = (
    (re.compile(r"(\d) ?(?:%|процент(?:а|ов)?) от (?=\d)", re.IGNORECASE), r"\1/100*"),
    (re.compile(rf"的百分之([\d{_IDEOGRAPHS}]{{1,9}})"), r"*\1/100"),
    (re.compile(r"[的の](\d{1,9})(?:%|パーセント)"), r"*\1/100"),
)
_IDEOGRAPH_NUMBER: Final = re.compile(f"[{_IDEOGRAPHS}]+")


def replace_arithmetic_words(text: str) -> str:
    """Replace words in *text* by digits and signs, and remove the words that make it a question.

    For example, "12乘以3是多少" becomes "12*3".
    """
    text = _WORDS_OF_QUESTION.sub("", text.translate(_FULL_WIDTH)).strip()
    text = _QUESTIONS.sub("", text.rstrip(" ?؟;"))
    for pattern, replacement in (*_PERCENTAGES, *_SIGN_PATTERNS_BETWEEN_NUMBERS, *_SIGN_PATTERNS):
        text = pattern.sub(replacement, text)
    text = _IDEOGRAPH_NUMBER.sub(lambda match: str(_read_ideographs(match.group())), text)
    return " ".join(text.split())


def _read_ideographs(number: str) -> int:
    """Return the value of a number such as 三百二十, or of digits without powers of ten."""
    if not any(char in _POWERS for char in number):
        return int("".join(str(_DIGITS[char]) for char in number))
    total = digit = 0
    for char in number:
        if char in _DIGITS:
            digit = _DIGITS[char]
        else:
            total, digit = total + (digit or 1) * _POWERS[char], 0
    return total + digit
