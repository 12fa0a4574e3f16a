"""Parser of image files and the OCR that recognizes their text."""
