"""Parse HTML and XHTML into events: start tags, end tags and text, properly nested.

turbohtml constructs the tree of an HTML page as the HTML standard defines it (section 13.2), in
linear time: it limits the depth of the tree to 512 elements, as browsers do. expat parses XHTML.
"""

import re
from collections.abc import Callable
from typing import Final, cast
from xml.parsers import expat

from backend.ai.text.turbohtml_modules import skip_package_import

Attributes = tuple[tuple[str, str | None], ...]
Parser = Callable[[str, "MarkupHandler"], None]

# The root of an XHTML page, or what precedes it: an XML declaration or an XHTML document type.
_XHTML_START = re.compile(
    r"\ufeff?(?:\s|<!--.*?-->)*(?:<\?xml\s|<!doctype\s+html\s+public\s+[\"']-//w3c//dtd\s+xhtml"
    r"|(?:<!doctype[^>]*>\s*)?<html\s[^>]*xmlns\s*=\s*[\"']http://www\.w3\.org/1999/xhtml)",
    re.IGNORECASE | re.DOTALL,
)
_MAX_XML_DEPTH: Final = 512
# Separates the namespace and the local name in expat's element names.
_NAMESPACE_END: Final = " "

# A repeated `html` or `body` tag adds its attributes to the first one (13.2.6.4.7). The parser
# copies all attributes each time, which takes quadratic time for many tags.
_ROOT_TAG = re.compile(r"<(?=(?:html|body)[\s/>])", re.IGNORECASE)
_MAX_ROOT_TAGS: Final = 100
# Formatting elements that a page leaves open are opened again in each paragraph (13.2.4.3). A page
# can thereby have many times more elements than tags.
_FORMATTING = r"(?:big|b|code|em|font|i|nobr|small|strike|strong|s|tt|u)(?=[\s/>])"
_FORMATTING_TAG = re.compile(rf"<{_FORMATTING}[^>]*", re.IGNORECASE)
_FORMATTING_NAME = re.compile(rf"<(/?){_FORMATTING}", re.IGNORECASE)
# At most three equal formatting elements are opened again, and the depth is limited.
_MAX_EQUAL_ELEMENTS: Final = 3
_MAX_DEPTH: Final = 512
_MAX_ELEMENTS: Final = 2_000_000


class MarkupHandler:
    """Receives the events of a parser."""

    def start_element(self, tag: str, attrs: Attributes) -> None:
        """Process a start tag."""

    def end_element(self, tag: str) -> None:
        """Process an end tag, which may be implied. Void elements have one too."""

    def characters(self, data: str) -> None:
        """Process a piece of text."""

    def comment(self, data: str) -> None:
        """Process a comment."""

    def doctype(self, name: str, public_id: str | None, system_id: str | None) -> None:
        """Process a document type."""

    def processing_instruction(self, target: str, data: str) -> None:
        """Process a processing instruction."""


def choose_parser(markup: str) -> Parser:
    """Return the parser for *markup*: the XML parser for well-formed XHTML, else the HTML parser.

    A page is XHTML if it starts with an XML declaration, has an XHTML document type, or its root
    is in the XHTML namespace.
    """
    return _parse_xhtml if _XHTML_START.match(markup) and _is_well_formed(markup) else _parse_html


def _parse_html(markup: str, handler: MarkupHandler) -> None:
    skip_package_import()
    from turbohtml.saxparse import SaxHandler, sax_parse

    sax_parse(_limit_elements(markup), cast(SaxHandler, handler))


def _limit_elements(markup: str) -> str:
    """Return *markup* without tags by which a hostile page multiplies elements or attributes."""
    tags = markup.count("<")
    if tags > _MAX_ROOT_TAGS and len(_ROOT_TAG.findall(markup)) > _MAX_ROOT_TAGS:
        root_tags = _ROOT_TAG.finditer(markup)
        end = [match.end() for _, match in zip(range(_MAX_ROOT_TAGS), root_tags, strict=False)][-1]
        # The standard ignores unknown end tags with their attributes.
        markup = markup[:end] + _ROOT_TAG.sub("</x-", markup[end:])
    if tags * _MAX_DEPTH <= _MAX_ELEMENTS:
        return markup
    distinct = len(set(_FORMATTING_TAG.findall(markup)))
    if tags * min(_MAX_EQUAL_ELEMENTS * distinct, _MAX_DEPTH) > _MAX_ELEMENTS:
        # Other inline elements look the same in plain text and are not opened again.
        markup = _FORMATTING_NAME.sub(r"<\1span", markup)
    return markup


class _NotXhtml(Exception):
    """The document is not well-formed, is nested too deeply or declares entities."""


def _is_well_formed(markup: str) -> bool:
    depth = 0

    def start(*_: object) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_XML_DEPTH:
            raise _NotXhtml

    def end(*_: object) -> None:
        nonlocal depth
        depth -= 1

    def reject(*_: object) -> None:
        raise _NotXhtml

    parser = _create_xml_parser()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    # Entities are the only way for a small document to expand or to refer to other files.
    parser.EntityDeclHandler = reject
    try:
        parser.Parse(_encode_xml(markup), True)
    except (expat.ExpatError, _NotXhtml):
        return False
    return True


def _parse_xhtml(markup: str, handler: MarkupHandler) -> None:
    """Parse *markup*, which is well-formed. Elements are reported by their local names."""

    from html.entities import html5  # a large table, which few pages need

    def start(name: str, attributes: dict[str, str]) -> None:
        handler.start_element(_local_name(name), tuple(attributes.items()))

    def skipped_entity(name: str, is_parameter_entity: bool) -> None:
        if not is_parameter_entity:
            handler.characters(html5.get(f"{name};", f"&{name};"))

    parser = _create_xml_parser()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda name: handler.end_element(_local_name(name))
    parser.CharacterDataHandler = handler.characters
    parser.SkippedEntityHandler = skipped_entity
    parser.Parse(_encode_xml(markup), True)


def _create_xml_parser() -> expat.XMLParserType:
    """Return a parser that reports the entities of HTML as skipped entities.

    The document type of XHTML declares them. An empty one is parsed instead: no file is read.
    """

    def parse_empty_dtd(context: str | None, *_: object) -> int:
        return parser.ExternalEntityParserCreate(context).Parse(b"", True)

    parser = expat.ParserCreate("utf-8", _NAMESPACE_END)
    parser.UseForeignDTD(True)
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_ALWAYS)
    parser.ExternalEntityRefHandler = parse_empty_dtd
    return parser


def _encode_xml(markup: str) -> bytes:
    return markup.lstrip("\ufeff").encode("utf-8", "replace")


def _local_name(name: str) -> str:
    return name.rpartition(_NAMESPACE_END)[2]
