"""Remove page numbers and their labels from the lines of headers and footers."""

# ruff: noqa: RUF001
import re
from typing import Final

# Stands for a page number or the number of pages. XML cannot contain it.
PAGE_NUMBER: Final = "\x00"
# Words for "page" or "sheet" before a number, by language, and their abbreviations. They
# distinguish the label of a page number from the text of the line.
_LABELS: Final = (
    "page", "pages", "pg", "pp", "p", "seite", "s", "blatt", "bl", "página", "pagina", "pág", "pag",
    "pàgina", "páxina", "folha", "hoja", "foglio", "feuille", "blz", "bladzijde", "side", "sida",
    "sidan", "sivu", "bls", "blaðsíða", "strona", "str", "strana", "strany", "stránka", "stranica",
    "stran", "oldal", "oldalszám", "pagină", "страница", "сторінка", "стр", "с", "стор",
    "лист", "старонка", "страна", "strána", "puslapis", "psl", "lappuse", "lpp", "lk", "lehekülg",
    "leht", "orria", "tudalen", "leathanach", "faqe", "faqja", "bet", "sayfa", "sahife", "səhifə",
    "σελίδα", "σελ", "halaman", "hal", "muka surat", "trang", "pahina", "bladsy", "bladsye",
    "ukurasa", "صفحة", "صفحه", "ص", "עמוד", "עמ'", "דף", "पृष्ठ", "পৃষ্ঠা", "หน้า", "หน้าที่",
    "ページ", "頁", "页", "第", "페이지", "쪽", "էջ", "გვერდი", "бет", "хуудас", "p a g e",
)  # fmt: skip
_LABEL: Final = "|".join(sorted(map(re.escape, _LABELS), key=len, reverse=True))
_NUMBER: Final = "№|no|nr|n[°ºo]|#"
_SEPARATORS: Final = " ,;:|/·•–—-"
# An optional label, one or two numbers with up to twelve characters between them, and an optional
# label after them.
_PAGE_NUMBER: Final = re.compile(
    rf"(?:(?:第|(?<!\w)(?:{_LABEL}))\.?\s*(?:(?:{_NUMBER})\.?)?[:\s]*)?"
    rf"\x00(?:[^\x00\t\n]{{0,12}}\x00[)\]]?)?"
    rf"(?:\.?\s*[|/]?\s*(?:{_LABEL})(?!\w))?",
    re.IGNORECASE,
)
# A single word before two numbers, as in "Page 1 of 2", is a label in any language.
_UNKNOWN_LABEL: Final = re.compile(r"\W*[^\W\d_]+\.?\s*\x00[^\x00\t\n]{1,12}\x00\W*")
_BRACKETED: Final = re.compile(r"[(\[{<]\s*\x00\s*[)\]}>]")
_CELL_BREAK: Final = re.compile(r"([\t\n])")


def remove_page_numbers(line: str) -> str:
    """Return *line* without the marks PAGE_NUMBER and their labels."""
    if PAGE_NUMBER not in line:
        return line
    return "".join(map(_clean_segment, _CELL_BREAK.split(line)))


def _clean_segment(text: str) -> str:
    if PAGE_NUMBER not in text:
        return text
    text = " ".join(text.split())  # the pattern takes linear time for single spaces only
    if _UNKNOWN_LABEL.fullmatch(text):
        return ""
    marked = _BRACKETED.sub(PAGE_NUMBER, _PAGE_NUMBER.sub(PAGE_NUMBER, text))
    before, *others = marked.split(PAGE_NUMBER)
    parts = [before.rstrip(_SEPARATORS), *(part.strip(_SEPARATORS) for part in others)]
    return " ".join(part.strip() for part in parts if any(map(str.isalnum, part)))
