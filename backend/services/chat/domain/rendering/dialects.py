"""The text dialects of the channels: how blocks and styles are written, and how text is measured.

Sources: WhatsApp "How to format your messages"; Slack "Formatting text for app surfaces"; Teams
"Format your bot messages"; Telegram Bot API "HTML style". WhatsApp and Slack have no way to escape
the characters of their marks: text that contains them can look formatted, and can do nothing else.
"""

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final, Protocol

from backend.services.chat.domain.rendering.markdown import Run, Style, TextBlock

_RULE: Final = "———"
# The text of a link that a reader takes for its target, such as bank.example/login.
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*://|(?:[\w-]+\.)+[^\W\d_]{2,}(?:[/?#:]|$)|\S+@\S+$")
_SCHEME: Final = re.compile(r"^(?:[a-z][a-z0-9+.-]*://|mailto:|tel:)(?:www\.)?|^www\.")
_AFTER_START: Final = frozenset({"", "/", "?", "#"})


class Dialect(Protocol):
    """Writes blocks of text for one channel."""

    @property
    def has_styles(self) -> bool:
        """False if bold, italic and code are written as plain text."""

    def measure(self, text: str) -> int:
        """Return the size of written *text* in the unit of the channel's limit."""

    def write_runs(self, runs: Sequence[Run]) -> str:
        """Write styled text."""

    def write_code(self, text: str) -> str:
        """Write the content of a code block, without its marks."""

    def write_block(self, block: TextBlock) -> str:
        """Write one block. It can be joined with others by line feeds."""


def count_utf16_units(text: str) -> int:
    """Return the length of *text* in UTF-16 code units, never less than its characters."""
    return len(text) + sum(character > "\uffff" for character in text)


class PlainText:
    """Text without any marks, for Messenger, Instagram, SMS and hooks."""

    has_styles = False

    def measure(self, text: str) -> int:
        return count_utf16_units(text)

    def write_runs(self, runs: Sequence[Run]) -> str:
        return "".join(_write_plain_run(run) for run in _group_links(runs))

    def write_code(self, text: str) -> str:
        return text

    def write_block(self, block: TextBlock) -> str:
        return _write_lines(block, self._write_content(block), quote="> ")

    def _write_content(self, block: TextBlock) -> str:
        if block.kind == "rule":
            return _RULE
        return self.write_code(block.text) if block.kind == "code" else self.write_runs(block.runs)


class WhatsAppText:
    """WhatsApp's marks: *bold*, _italic_, ~strikethrough~, `code`. Links are bare URLs."""

    has_styles = True

    def measure(self, text: str) -> int:
        return count_utf16_units(text)

    def write_runs(self, runs: Sequence[Run]) -> str:
        return _write_marked(tuple(_group_links(runs)), _write_plain_run)

    def write_code(self, text: str) -> str:
        return text.replace("```", "'''")

    def write_block(self, block: TextBlock) -> str:
        return _write_lines(block, _write_marked_block(block, self), quote="> ")


class SlackText:
    """Slack's mrkdwn. &, < and > are escaped, so text cannot mention anybody or be a link."""

    has_styles = True

    def measure(self, text: str) -> int:
        return count_utf16_units(text)

    def write_runs(self, runs: Sequence[Run]) -> str:
        return _write_marked(runs, self._write_run)

    def write_code(self, text: str) -> str:
        return _escape_slack(text).replace("```", "'''")

    def write_block(self, block: TextBlock) -> str:
        return _write_lines(block, _write_marked_block(block, self), quote="> ")

    def _write_run(self, run: Run) -> str:
        if run.url is None:
            return _escape_slack(run.text)
        url = _escape_slack(run.url).replace("|", "%7C")
        if _is_deceptive(run):
            return f"{_escape_slack(run.text)} (<{url}>)"
        label = _escape_slack(run.text).replace("|", "¦").replace("\n", " ")
        return f"<{url}|{label}>" if label.strip() else f"<{url}>"


class TelegramHtml:
    """The HTML subset of Telegram's Bot API. Quotations cannot be nested."""

    has_styles = True
    _TAGS: Final[dict[Style, str]] = {"bold": "b", "italic": "i", "strike": "s", "code": "code"}

    def measure(self, text: str) -> int:
        # The limit is for the text without tags, so the size with tags is safe.
        return count_utf16_units(text)

    def write_runs(self, runs: Sequence[Run]) -> str:
        return "".join(_write_html_run(run, self._TAGS) for run in runs)

    def write_code(self, text: str) -> str:
        return escape(text)

    def write_block(self, block: TextBlock) -> str:
        if block.kind == "code":
            language = f' class="language-{escape(block.language)}"' if block.language else ""
            code = self.write_code(block.text)
            content = f"<pre><code{language}>{code}</code></pre>"
            return f"{escape(block.prefix)}\n{content}" if block.prefix else content
        content = _RULE if block.kind == "rule" else self.write_runs(block.runs)
        content = _indent_html(block, content, "\u2003", "\n")
        return f"<blockquote>{content}</blockquote>" if block.quotes else content


class TeamsHtml:
    """The HTML subset of Teams' text format "xml"."""

    has_styles = True
    _TAGS: Final[dict[Style, str]] = {
        "bold": "strong",
        "italic": "em",
        "strike": "strike",
        "code": "code",
    }

    def measure(self, text: str) -> int:
        return count_utf16_units(text)

    def write_runs(self, runs: Sequence[Run]) -> str:
        written = "".join(_write_html_run(run, self._TAGS) for run in runs)
        return written.replace("\n", "<br/>")

    def write_code(self, text: str) -> str:
        return escape(text)

    def write_block(self, block: TextBlock) -> str:
        if block.kind == "code":
            return f"{escape(block.prefix)}<pre>{self.write_code(block.text)}</pre>"
        content = _RULE if block.kind == "rule" else self.write_runs(block.runs)
        content = _indent_html(block, content, "&#8195;", "<br/>")
        opened, closed = "<blockquote>" * block.quotes, "</blockquote>" * block.quotes
        return f"{opened}<p>{content}</p>{closed}"


PLAIN: Final = PlainText()
WHATSAPP: Final = WhatsAppText()
SLACK: Final = SlackText()
TELEGRAM: Final = TelegramHtml()
TEAMS: Final = TeamsHtml()


def _escape_slack(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _group_links(runs: Sequence[Run]) -> Iterator[Run]:
    """Join the runs of a link, whose URL is written once and after its text."""
    pending: Run | None = None
    for run in runs:
        if pending is not None and run.url == pending.url:
            pending = Run(pending.text + run.text, frozenset(), pending.url)
            continue
        if pending is not None:
            yield pending
        # Marks around a URL would become a part of it.
        pending = Run(run.text, frozenset(), run.url) if run.url is not None else None
        if run.url is None:
            yield run
    if pending is not None:
        yield pending


def _write_plain_run(run: Run) -> str:
    if run.url is None:
        return run.text
    address = run.url.partition(":")[2] if run.url.startswith(("mailto:", "tel:")) else run.url
    is_same = run.text.strip().rstrip("/") in {run.url.rstrip("/"), address.rstrip("/")}
    return run.text if is_same else f"{run.text} ({address})"


def _is_deceptive(run: Run) -> bool:
    """Return True if the text of a link looks like another address than the link's."""
    label = run.text.strip().lower()
    if not _ADDRESS.match(label):
        return False
    target = _SCHEME.sub("", (run.url or "").lower())
    start = _SCHEME.sub("", label).rstrip("/")
    return not target.startswith(start) or target[len(start) : len(start) + 1] not in _AFTER_START


class _Writer(Protocol):
    def __call__(self, run: Run) -> str: ...


# From the outermost to the innermost mark.
_MARKS: Final[tuple[tuple[Style, str], ...]] = (
    ("bold", "*"),
    ("italic", "_"),
    ("strike", "~"),
    ("code", "`"),
)


def _write_marked(runs: Sequence[Run], write: _Writer) -> str:
    """Write runs with WhatsApp's and Slack's marks.

    A mark is only read as one between a word and a space or a punctuation mark. Elsewhere the style
    is left out.
    """
    written: list[str] = []
    for index, run in enumerate(runs):
        before = runs[index - 1].text[-1:] if index else ""
        after = runs[index + 1].text[:1] if index + 1 < len(runs) else ""
        lines = run.text.split("\n")
        for number, line in enumerate(lines):
            if number:
                written.append("\n")
            is_last = number == len(lines) - 1
            part = Run(line, run.styles, run.url)
            written.append(
                _write_marked_line(part, write, "" if number else before, after if is_last else "")
            )
    return "".join(written)


def _write_marked_line(run: Run, write: _Writer, before: str, after: str) -> str:
    text = run.text.strip()
    if not run.styles or not text:
        return write(run) if run.text else ""
    start = run.text.index(text)
    leading, trailing = run.text[:start], run.text[start + len(text) :]
    opens = bool(leading) or not before.isalnum()
    closes = bool(trailing) or not after.isalnum()
    marks = "".join(mark for style, mark in _MARKS if style in run.styles)
    if not (opens and closes) or any(mark in text for mark in marks):
        marks = ""
    if "`" in marks:
        marks = "`"
    return f"{leading}{marks}{write(Run(text, frozenset(), run.url))}{marks[::-1]}{trailing}"


def _write_marked_block(block: TextBlock, dialect: WhatsAppText | SlackText) -> str:
    if block.kind == "rule":
        return _RULE
    if block.kind == "code":
        return f"```\n{dialect.write_code(block.text)}\n```"
    return dialect.write_runs(block.runs)


def _write_lines(block: TextBlock, content: str, quote: str) -> str:
    """Add the prefix of an item, its indent, and the marks of quotations to each line."""
    indent = "  " * block.indent
    hanging = indent + " " * len(block.prefix)
    marks = quote * min(block.quotes, 1)
    lines = content.split("\n")
    if block.kind == "code":  # the mark of a code block must start its line
        first = [f"{marks}{indent}{block.prefix}".rstrip()] if block.prefix else []
        return "\n".join([*first, *(f"{marks}{line}" for line in lines)])
    rest = (f"{marks}{hanging}{line}" for line in lines[1:])
    return "\n".join([f"{marks}{indent}{block.prefix}{lines[0]}", *rest])


def _write_html_run(run: Run, tags: dict[Style, str]) -> str:
    written = escape(run.text)
    # Code cannot be combined with other styles in Telegram.
    styles = {"code"} if "code" in run.styles else run.styles
    if run.text.strip():
        for style, tag in tags.items():
            if style in styles:
                written = f"<{tag}>{written}</{tag}>"
    if run.url is None:
        return written
    if not run.url.startswith(("http://", "https://")):
        return escape(_write_plain_run(run))
    if _is_deceptive(run):
        return f"{written} ({escape(run.url)})"
    return f'<a href="{escape(run.url)}">{written}</a>'


def _indent_html(block: TextBlock, content: str, space: str, line_break: str) -> str:
    indent = space * block.indent
    hanging = indent + space * bool(block.prefix)
    return f"{indent}{escape(block.prefix)}{content.replace(line_break, line_break + hanging)}"
