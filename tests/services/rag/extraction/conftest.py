"""Fixture that parses test content as the extraction process does, in the test process."""

import pytest

from backend.services.rag.extraction.content import UNREAD_SCRIPT, Page, clean_page


class ParsedFile:
    """Everything a parser returned for a file."""

    def __init__(self, content):
        self.title = content.title
        self.page_count = content.page_count
        self.attachments = list(content.attachments)
        items = list(content.pages)
        self.has_unread_script = UNREAD_SCRIPT in items
        pages = [clean_page(item) for item in items if isinstance(item, Page)]
        self.pages = [page.text.rstrip() for page in pages]
        self.headings = [title for page in pages for _, title in page.headings]
        self.text_at_headings = [
            page.text[position : position + len(title)]
            for page in pages
            for position, title in page.headings
        ]

    @property
    def text(self):
        assert len(self.pages) == 1
        return self.pages[0]


@pytest.fixture
def parse_with(tmp_path):
    """Return `parse_with(parse, content)`, which writes *content* to a file and parses it."""

    def parse_content(parse, content):
        file = tmp_path / "file"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return ParsedFile(parse(file))

    return parse_content
