"""Parsers of text formats: plain text, Markdown, CSV, JSON, HTML and e-mail."""
