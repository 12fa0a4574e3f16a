"""Parser of PDF files, with OCR for scanned pages."""
