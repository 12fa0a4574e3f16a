"""Parsers of Office Open XML files (ECMA-376): DOCX, PPTX and XLSX."""
