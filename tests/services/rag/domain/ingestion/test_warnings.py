"""Warnings about parts of a document that were not read."""

import pytest

from backend.services.rag.domain.ingestion.pipeline import list_warnings
from backend.services.rag.extraction.extractor import ExtractedText
from tests.services.rag.extraction.images.test_parser import scan_arabic_page


@pytest.mark.parametrize(
    ("has_pages", "pages", "where"),
    [
        (True, [2], "the text of page 2:"),
        (True, [1, 3], "the text of pages 1, 3:"),
        (True, list(range(1, 26)), "19, 20 and 5 more:"),
        (False, [1], "the text of the image:"),
    ],
)
def test_warning_names_the_pages(has_pages, pages, where):
    ((code, detail),) = list_warnings(ExtractedText(has_pages=has_pages, unread_pages=pages))

    assert code == "unsupported_script"
    assert where in detail


def test_document_without_unread_pages_has_no_warning():
    assert list_warnings(ExtractedText()) == []


@pytest.mark.slow
def test_image_in_unsupported_script_fails_with_advice(ada):
    (document,) = ada.send(scan_arabic_page(), "page.png", wait=60).json["documents"]

    assert document["status"] == "failed"
    assert document["error"]["code"] == "unsupported_script"
    assert "Latin, Chinese or Japanese" in document["error"]["detail"]
