"""Parser of DOCX files (WordprocessingML)."""
