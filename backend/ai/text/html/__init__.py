"""Convert HTML and XHTML to their visible text, with headings, tables and links."""

import re
from typing import Final

from backend.ai.text.encodings import decode_text
from backend.ai.text.html.parsing import choose_parser
from backend.ai.text.html.text_target import HtmlText, ReversedListCounter, TextTarget

__all__ = ["HtmlText", "decode_html", "extract_html_text"]

_DECLARATION_BYTES: Final = 4096
_META_CHARSET = re.compile(
    rb"""<meta[^>]{0,200}charset\s{0,9}=\s{0,9}["']?\s{0,9}([\w.:-]{2,40})""", re.IGNORECASE
)
_XML_ENCODING = re.compile(rb"""^\s*<\?xml[^>]{0,80}encoding\s{0,9}=\s{0,9}["']([\w.:-]{2,40})""")


def decode_html(content: bytes, declared_encoding: str | None = None) -> str:
    """Decode the page *content*.

    *declared_encoding* is the encoding of the Content-Type header. It takes precedence over the
    encoding that the page declares.
    """
    head = content[:_DECLARATION_BYTES]
    charset = _XML_ENCODING.search(head) or _META_CHARSET.search(head)
    if declared_encoding is None and charset is not None:
        declared_encoding = charset[1].decode("ascii", "replace")
    return decode_text(content, declared_encoding)


_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def extract_html_text(
    markup: str, base_url: str | None = None, max_chars: int | None = None
) -> HtmlText:
    """Return the visible text of *markup*, as a browser shows it.

    Args:
        markup: the decoded page. HTML is parsed as the HTML standard defines it, malformed pages
            included. Well-formed XHTML is parsed as XML.
        base_url: the page's URL. Links are collected if it is given.
        max_chars: the maximum length of the text.

    Raises:
        TextTooLong: the text is longer than *max_chars*.
    """
    # The parsers work in UTF-8, which cannot represent them.
    markup = _LONE_SURROGATE.sub("\ufffd", markup)
    parse = choose_parser(markup)
    counter = ReversedListCounter()
    if "reversed" in markup:
        parse(markup, counter)
    target = TextTarget(base_url, max_chars, counter.item_counts)
    parse(markup, target)
    return target.build()
