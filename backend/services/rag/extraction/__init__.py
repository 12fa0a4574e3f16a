"""Text extraction from uploaded files: type detection, one parser per document type, OCR.

Parsers run only in the extraction process (`process.py`), which `extractor.py` starts once per
file.
"""
