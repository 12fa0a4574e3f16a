"""Tokens and sections of a number format code (ECMA-376 Part 1, 18.8.31)."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, auto
from operator import eq, ge, gt, le, lt, ne


class TokenKind(Enum):
    """Kinds of tokens of a section."""

    LITERAL = auto()
    # Placeholder of a digit: `0`, `#` or `?`.
    DIGIT = auto()
    POINT = auto()
    COMMA = auto()
    PERCENT = auto()
    # `E+` or `E-`.
    EXPONENT = auto()
    SLASH = auto()
    GENERAL = auto()
    # The text of a cell: `@`.
    TEXT = auto()
    # Run of one letter of a date or time, in lower case, e.g. `yyyy`.
    DATE = auto()
    # Elapsed hours, minutes or seconds, without brackets, e.g. `hh`.
    ELAPSED = auto()
    # `AM/PM`, `A/P` or the same in Chinese.
    DAY_HALF = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its text: that of a literal without quotes, otherwise as in the code."""

    kind: TokenKind
    text: str


@dataclass(frozen=True, slots=True)
class Condition:
    """Condition of a section, e.g. `[>=1000]`."""

    operator: Callable[[Decimal, Decimal], bool]
    limit: Decimal

    def admits(self, number: Decimal) -> bool:
        return self.operator(number, self.limit)

    def splits_at_zero(self) -> bool:
        """Return True if the condition tests the sign of the number, e.g. `[<0]` or `[>=0]`."""
        return not self.limit and self.operator in (lt, le, gt, ge)


@dataclass(slots=True)
class Section:
    """One of up to four sections of a format code."""

    tokens: list[Token] = field(default_factory=list)
    condition: Condition | None = None
    # True if month and day names are neither in English nor in the language of the system.
    is_foreign: bool = False

    def has(self, *kinds: TokenKind) -> bool:
        return any(token.kind in kinds for token in self.tokens)


_TOKEN = re.compile(
    r"""
      "(?P<quoted>[^"]*)"?
    | \\(?P<escaped>.)
    | _(?P<padding>.)          # a space as wide as the character
    | \*(?P<fill>.)            # the character repeated over the rest of the cell
    | \[(?P<bracket>[^\]]*)\]
    | (?P<general>general)
    | (?P<half>am/pm|a/p|上午/下午)
    | (?P<exponent>e[+-])
    | (?P<date>y+|m+|d+|h+|s+|e+|b+|g+)
    | (?P<digit>[0#?])
    | (?P<end>;)
    | (?P<other>.)
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_KINDS = {
    ".": TokenKind.POINT, ",": TokenKind.COMMA, "%": TokenKind.PERCENT, "/": TokenKind.SLASH,
    "@": TokenKind.TEXT,
}  # fmt: skip
_ELAPSED = re.compile(r"h+|m+|s+", re.IGNORECASE)
_CONDITION = re.compile(
    r"\s*(<=|>=|<>|<|>|=)\s*([+-]?\d{1,20}(?:\.\d{0,20})?(?:E[+-]?\d{1,3})?)\s*"
)
_OPERATORS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "<": lt, ">": gt, "=": eq, "<=": le, ">=": ge, "<>": ne,
}  # fmt: skip
# Currency text, and language as Windows identifier or tag: `[$€-407]`, `[$-en-US]`.
_LOCALE = re.compile(r"\$([^-]*)(?:-([^,]*))?.*", re.DOTALL)
# Language of the system, and those in English (primary language 9).
_SYSTEM_LANGUAGES = ("", "x-sysdate", "x-systime", "f800", "f400")
_ENGLISH = re.compile(r"en\b.*|[0-9a-f]*[048c]09|9", re.IGNORECASE)


def parse_sections(code: str) -> list[Section]:
    """Return the sections of *code*. Characters without a meaning are literals."""
    sections = [Section()]
    for match in _TOKEN.finditer(code):
        if match.lastgroup == "end":
            sections.append(Section())
        elif match.lastgroup == "bracket":
            _add_bracket(match["bracket"], sections[-1])
        else:
            sections[-1].tokens += _to_tokens(match)
    return sections


def _to_tokens(match: re.Match[str]) -> list[Token]:
    group, text = str(match.lastgroup), match[str(match.lastgroup)]
    if group == "padding":
        return [Token(TokenKind.LITERAL, " ")]
    if group == "fill":
        return []
    kinds = {
        "general": TokenKind.GENERAL, "half": TokenKind.DAY_HALF, "exponent": TokenKind.EXPONENT,
        "date": TokenKind.DATE, "digit": TokenKind.DIGIT,
    }  # fmt: skip
    kind = kinds.get(group) or (_KINDS.get(text) if group == "other" else None)
    if kind is TokenKind.DATE:
        text = text.lower()
    return [Token(kind or TokenKind.LITERAL, text)]


def _add_bracket(content: str, section: Section) -> None:
    """Add elapsed time, a condition, or a currency text. Colors are ignored."""
    if _ELAPSED.fullmatch(content):
        section.tokens.append(Token(TokenKind.ELAPSED, content.lower()))
    elif condition := _CONDITION.fullmatch(content):
        section.condition = Condition(_OPERATORS[condition[1]], Decimal(condition[2]))
    elif locale := _LOCALE.fullmatch(content):
        section.tokens.append(Token(TokenKind.LITERAL, locale[1]))
        language = (locale[2] or "").lower()
        is_known = language in _SYSTEM_LANGUAGES or _ENGLISH.fullmatch(language)
        section.is_foreign = section.is_foreign or not is_known


def join_tokens(tokens: list[Token]) -> str:
    """Return the texts of *tokens*."""
    return "".join(token.text for token in tokens)
