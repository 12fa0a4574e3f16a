"""Read what a test wrote, as the extraction process does, but in the test's own process."""

import pytest

from backend.services.rag.clients.formats.page import SCAN, cleaned


class Read:
    """All that came out of a file."""

    def __init__(self, content):
        self.title = content.title
        self.total = content.total
        pages = [cleaned(page) for page in content.pages if page is not SCAN]
        self.pages = [page.text.rstrip() for page in pages]
        self.headings = [title for page in pages for _, title in page.headings]
        self.placed = [
            page.text[at : at + len(title)] for page in pages for at, title in page.headings
        ]

    @property
    def text(self):
        assert len(self.pages) == 1
        return self.pages[0]


@pytest.fixture
def read_with(tmp_path):
    """`read_with(reader, content)`: the content, written to a file, as *reader* sees it."""

    def read(reader, content):
        file = tmp_path / "file"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return Read(reader(file))

    return read
