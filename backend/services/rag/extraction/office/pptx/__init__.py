"""Parser of PPTX files (PresentationML)."""
