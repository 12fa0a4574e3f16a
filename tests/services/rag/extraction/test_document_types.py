"""Registry of document types."""

from importlib import import_module

import pytest

from backend.services.rag.extraction.document_types import (
    DOCUMENT_TYPES,
    SUPPORTED_TYPES,
    find_type_by_media_type,
    find_type_by_suffix,
    get_document_type,
    get_type_by_media_type,
)


@pytest.mark.parametrize("document_type", DOCUMENT_TYPES, ids=lambda row: row.name)
def test_parser_of_document_type_exists(document_type):
    module, function = document_type.parser.split(":")

    assert callable(getattr(import_module(f"backend.services.rag.extraction.{module}"), function))


@pytest.mark.parametrize("document_type", DOCUMENT_TYPES, ids=lambda row: row.name)
def test_document_type_is_found_by_name_media_type_and_suffix(document_type):
    assert get_document_type(document_type.name) is document_type
    assert get_type_by_media_type(document_type.media_type) is document_type
    assert find_type_by_media_type(document_type.media_type) is document_type
    for suffix in document_type.suffixes:
        assert find_type_by_suffix(suffix.upper()) is document_type


def test_unknown_suffix_and_media_type_have_no_document_type():
    assert find_type_by_suffix(".exe") is None
    assert find_type_by_media_type("application/octet-stream") is None


def test_supported_types_list_labels_without_single_image_formats():
    assert SUPPORTED_TYPES.startswith("PDF, DOCX, PPTX, XLSX, HTML, ")
    assert SUPPORTED_TYPES.endswith(", plain text or an image")
    assert "PNG" not in SUPPORTED_TYPES
