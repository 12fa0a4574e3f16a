"""Find the arithmetic expression in a request in words.

The words are English, German, French, Spanish and Italian, and those of `arithmetic_words`.
"""

import re
from collections.abc import Sequence
from typing import Final

from backend.services.agent.domain.rule_based.arithmetic_words import replace_arithmetic_words
from backend.services.agent.domain.rule_based.number_words import replace_number_words
from backend.services.agent.errors import InvalidExpression, UndefinedResult
from backend.services.agent.tools.arithmetic import evaluate_expression

# The patterns are slow on longer requests.
MAX_REQUEST_CHARACTERS: Final = 300

_ASKS: Final = re.compile(
    r"^(?:(?:what(?:'s| is| are)|what does|how much (?:is|are|does|makes?)"
    r"|(?:calculate|compute|evaluate|work out|solve|the (?:result|value) of)"
    r"|(?:was|wie ?viel) (?:ist|sind|macht|ergibt|gibt|wird)|berechne|rechne"
    r"|combien (?:font|fait|est)|quel(?:le)? est|calcule[rz]?"
    r"|(?:¿\s*)?(?:cuánto|cuál) (?:es|son|da|hacen?)|calcula"
    r"|quanto (?:fa|fanno|è)|qual è|calcola)\s+)+",
    re.IGNORECASE,
)
_ANSWER_WORD: Final = re.compile(
    r"\b(?:equals?|makes?|ist gleich|ergibt|égale?|è uguale a|es igual a)$", re.IGNORECASE
)
_END_MARKS: Final = "?=.!。 "
_DECIMAL_COMMA_WORDS: Final = re.compile(
    r"\b(?:was|wie ?viel|berechne|rechne|mal|geteilt|prozent|hälfte|hoch|combien|fois"
    r"|moins|quel(?:le)?|pour ?cent|moitié"
    r"|cuánto|cuál|menos|más|por|mitad|quanto|più|meno|metà|diviso)\b",
    re.IGNORECASE,
)
_COMMA_DECIMAL: Final = re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3})*,(?:\d{1,2}|\d{4,})(?![\d,])")

# A text matches these patterns in one way only. Otherwise a long list that does not match would be
# split in many ways before it is rejected.
_N: Final = r"[$€£]?\d+(?:[.,]\d+)*(?:\s?%)?"
_LIST: Final = (
    rf"({_N}(?:(?:\s*;\s*|,?\s+)(?:(?:and|und|et|y|e|to|by|with|mit|avec|con)\s+)?{_N})+)"
)
_LIST_SEPARATOR: Final = re.compile(
    r"(?<=\d)(?:,\s+|\s*;\s*|,?\s+(?:and|und|et|y|e|to|by|with|mit|avec|con)\s+)"
)
_ADD: Final = (
    r"(?:add|addiere|(?:the )?sum of|(?:die )?summe (?:von|aus)"
    r"|(?:la )?(?:somme de|suma de|somma di))"
)
_MULTIPLY: Final = (
    r"(?:multiply|multipliziere|(?:the )?product of|(?:das )?produkt (?:von|aus)"
    r"|(?:le )?produit de|(?:el )?producto de|(?:il )?prodotto di)"
)
_LIST_OPERATIONS: Final = (
    (rf"{_ADD}\s+{_LIST}", "+"),
    (rf"{_MULTIPLY}\s+{_LIST}", "*"),
    (rf"divide\s+{_LIST}", "/"),
    (rf"(?:the )?difference (?:between|of)\s+{_LIST}", "-"),
)
_ARTICLE: Final = r"(?:(?:a|an|one|the|die|das|ein|eine|la|le|un|une|el|una|il|lo|l')\s*)?"
_OF: Final = r"\s+(?:of|von|de|di|del|von der)\s+"
_PERCENT: Final = "(?:%|percent|per cent|prozent|pour ?cent|por ciento|per cento)"
_FRACTIONS: Final = (
    (rf"\b{_ARTICLE}(?:half|hälfte|moitié|mitad|metà)(?: of| von| de| di)\s+", "1/2*"),
    (rf"\b{_ARTICLE}(?:third|drittel|tiers|tercio|terzo){_OF}", "1/3*"),
    (rf"\b{_ARTICLE}(?:quarter|viertel|quart|cuarto|quarto){_OF}", "1/4*"),
    (rf"\b{_ARTICLE}(?:double|twice|doppelte|doble|doppio)(?:{_OF}|\s+)(?=[\w$€£(])", "2*"),
)
_SPOKEN: Final = (
    (rf"\bsubtract ({_N}) from ({_N})", r"\2 - \1"),
    (rf"({_N}) tip on ", r"\1 of "),
    (
        (
            r"\b(?:multiplied by|times|multipliziert mit|mal|multiplié par|fois|multiplicado por"
            r"|moltiplicato per)\b|\b(?:per|por)\b(?=\s*[\d(])|(?<=[\d)])\s*x\s*(?=[\d(])"
        ),
        "*",
    ),
    (
        (
            r"\b(?:divided by|over|geteilt durch|dividiert durch|durch|divisé par"
            r"|dividido (?:por|\*|entre)|diviso(?: (?:per|\*))?)(?!\w)"
        ),
        "/",
    ),
    (r"\b(?:plus|added to|más|mas|più|piu)\b", "+"),
    (r"\b(?:minus|less|weniger|moins|menos|meno)\b", "-"),
    (r"\b(?:modulo|mod)\b", "%"),
    (r"\b(?:to the power of|hoch|puissance|elevado a(?: la)?|elevato a(?:lla)?)\b", "^"),
    (r"\b(?:squared|zum quadrat|au carré|al cuadrado|al quadrato)(?!\w)", "^2"),
    (r"\b(?:cubed|hoch drei|au cube|al cubo)\b", "^3"),
    (
        (
            rf"\b{_ARTICLE}(?:square root of|(?:quadrat)?wurzel (?:aus|von)|racine carrée de"
            r"|raíz cuadrada de|radice quadrata di)\s*([\d.]+|\([^()]*\))"
        ),
        r"sqrt(\1)",
    ),
    (rf"([\d.]+)\s*{_PERCENT}{_OF}", r"\1/100*"),
    (r"(\d+\s*/\s*\d+)\s+(?:of|von|de|di)\s+", r"\1*"),
    (r"[$€£]\s?(?=\d)|(?<=\d)\s?[$€£]", ""),
    # An added or subtracted percentage is a share of the first number: 50 + 10% is 55.
    (rf"^([\d.]+)\s*([-+])\s*([\d.]+)\s*{_PERCENT}$", r"\1 * (1 \2 \3/100)"),
)
# Punctuation between an operand and an operator. In a function, a comma separates arguments.
_PUNCTUATION: Final = re.compile(
    r"\s*[,;:]+\s*(?=[-+*/^\u00d7\u00f7\u2212])|(?<=[-+*/^(\u00d7\u00f7\u2212])\s*[,;:]+\s*"
)
_FUNCTION_CALL: Final = re.compile(r"[a-z]\s*\(", re.IGNORECASE)
_EXPRESSION: Final = re.compile(
    r"(?:[\d\s.,+*/^%()\u00d7\u00f7\u2212-]|\b(?:sqrt|abs|round|floor|ceil|min|max|ln|log|sin|cos|tan|pi)\b)+"
)
_OPERATION: Final = re.compile(
    r"[\d)]\s*(?:[+*/^%\u00d7\u00f7\u2212-])\s*[\u2212-]?\s*[\d(a-z.]|[a-z]\s*\("
)
_DATE_LIKE: Final = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}/\d{1,2}/\d{2,4}|\d+(?:-\d+){2,}")


def find_expression(request: str) -> str | None:
    """Return the arithmetic expression if *request* contains nothing else, or None.

    Its value can be undefined, but it is a valid expression.
    """
    if len(request) > MAX_REQUEST_CHARACTERS:
        return None
    text = replace_arithmetic_words(" ".join(request.split()))
    text = _ASKS.sub("", text).rstrip(_END_MARKS)
    text = _ANSWER_WORD.sub("", text).rstrip(_END_MARKS)
    text = replace_number_words(_replace_all(_FRACTIONS, text))
    text = _unify_numbers(text, decimal_comma=bool(_DECIMAL_COMMA_WORDS.search(request)))
    for pattern, sign in _LIST_OPERATIONS:
        if (match := re.fullmatch(pattern, text, re.IGNORECASE)) is not None:
            text = f" {sign} ".join(_LIST_SEPARATOR.split(match[1]))
    text = _replace_all(_SPOKEN, text).strip()
    if not _FUNCTION_CALL.search(text):
        text = _PUNCTUATION.sub(" ", text)
    if not _EXPRESSION.fullmatch(text.lower()) or _DATE_LIKE.fullmatch(text):
        return None
    return text if _OPERATION.search(text.lower()) and _is_valid(text) else None


def _unify_numbers(text: str, *, decimal_comma: bool) -> str:
    """Return *text* with decimal points. Removes thousands separators other than commas.

    Args:
        decimal_comma: True if the language of *text* uses a comma as the decimal separator and
            points between thousands.
    """
    text = re.sub(r"(?<=\d)['\u2019\u00a0\u202f ](?=\d{3}(?!\d))", "", text)
    if not decimal_comma and not _COMMA_DECIMAL.search(text):
        return text
    text = re.sub(r"(?<=\d)\.(?=\d{3}(?:\D|$))", "", text)
    return re.sub(r"(?<=\d),(?=\d)", ".", text)


def _replace_all(replacements: Sequence[tuple[str, str]], text: str) -> str:
    for pattern, replacement in replacements:
        text = re.sub(pattern, replacement, text, flags=re.IGNORECASE)
    return text


def _is_valid(expression: str) -> bool:
    try:
        evaluate_expression(expression)
    except UndefinedResult:
        return True
    except InvalidExpression:
        return False
    return True
