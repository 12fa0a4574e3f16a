"""Join the text of runs with superscripts, subscripts and phonetic guides to one line.

Superscripts and subscripts are written with the characters of Unicode (UAX #44, <super> and <sub>
decompositions), because a raised digit that is joined to the number before it makes another number.
"""

# ruff: noqa: RUF001
import re
from typing import Final, Literal

Position = Literal["baseline", "superscript", "subscript"]

_SUPERSCRIPTS: Final = str.maketrans(
    "0123456789+-−=()abcdefghijklmnoprstuvwxyzABDEGHIJKLMNOPRTUVWβγδθφχ",
    "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂᵝᵞᵟᶿᵠᵡ",
)
_SUBSCRIPTS: Final = str.maketrans(
    "0123456789+-−=()aehijklmnoprstuvxβγρφχ",
    "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ",
)
# Characters between raised digits, as in the note marks `1, 2`.
_SEPARATORS: Final = frozenset(",.;:– ")
# Letters of exponents. Others after a digit are ordinals, in any language.
_EXPONENTS: Final = frozenset("ijkmnpqxyzαβγδθλμπφω")
_KANA: Final = re.compile(r"[\u3041-\u30ff\s]*")
_HIRAGANA: Final = re.compile(r"[\u3041-\u309f]")
# A word next to a space, as in `see note 2`.
_WORDS: Final = re.compile(r"[^\W\d_]{2}\s|\s[^\W\d_]{2}")
# Longer runs are no exponents: some documents raise or lower whole sentences.
_MAX_SCRIPT_CHARS: Final = 20


class RunText:
    """Collects the runs of a paragraph. Adjacent runs of one position belong together."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        # Open superscript or subscript, and the base and reading of open phonetic guides.
        self._position: Position = "baseline"
        self._script: list[str] = []
        self._ruby: list[tuple[str, str]] = []

    def add(self, text: str, position: Position = "baseline") -> None:
        """Append the text of a run."""
        if position == "baseline" and self._position == "baseline" and not self._ruby:
            self._parts.append(text)
            return
        if not text:
            return
        if self._ruby or position != self._position:
            self._close(text)
            self._position = position
        (self._parts if position == "baseline" else self._script).append(text)

    def add_ruby(self, base: str, reading: str) -> None:
        """Append a word with its phonetic guide: adjacent ones are joined, as 漢字(かんじ)."""
        if self._position != "baseline":
            self._close()
        self._ruby.append((base, reading))

    def to_text(self) -> str:
        """Return the text of all runs."""
        self._close()
        return "".join(self._parts)

    def _close(self, following: str = "") -> None:
        if self._ruby:
            base = "".join(base for base, _ in self._ruby)
            reading = "".join(reading for _, reading in self._ruby).strip()
            # Between a stem and its ending, as in 読む, the reading would divide the word.
            is_omitted = _KANA.fullmatch(reading) and _HIRAGANA.match(following)
            is_shown = base and reading and not is_omitted
            self._parts.append(f"{base}({reading})" if is_shown else base)
            self._ruby.clear()
        if self._script:
            before = self._parts[-1][-1:] if self._parts else ""
            self._parts.append(format_script("".join(self._script), self._position, before))
            self._script.clear()
        self._position = "baseline"


def format_script(text: str, position: Position, before: str = "") -> str:
    """Return *text* as superscript or subscript: `⁶`, `₂`; without such characters `^(é,b)`.

    *before* is the character before it. Words, ordinals and marks stay as they are: 1st, 2e, Vmax.
    """
    stripped = text.strip()
    start, end = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    if not stripped:
        return text
    is_ordinal = before.isdigit() and stripped.isalpha() and stripped not in _EXPONENTS
    if (is_ordinal and position == "superscript") or _is_plain(stripped):
        return text
    return f"{start}{_format_stripped(stripped, position)}{end}"


def _is_plain(text: str) -> bool:
    """Return True for words and marks such as `max` and `*`, and for whole sentences."""
    is_word = text.isalpha() and len(text) > 1
    has_words = _WORDS.search(text) is not None
    return is_word or has_words or len(text) > _MAX_SCRIPT_CHARS or not any(map(str.isalnum, text))


def _format_stripped(text: str, position: Position) -> str:
    if converted := convert_script(text, position):
        return converted
    mark = "^" if position == "superscript" else "_"
    return f"{mark}{text}" if len(text) == 1 else f"{mark}({text})"


def convert_script(text: str, position: Position) -> str:
    """Return *text* in superscript or subscript characters, or "" if one does not exist."""
    table = _SUPERSCRIPTS if position == "superscript" else _SUBSCRIPTS
    if all(ord(char) in table or char in _SEPARATORS for char in text):
        return text.translate(table)
    return ""
