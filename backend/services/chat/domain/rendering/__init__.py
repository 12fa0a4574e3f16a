"""Rendering of message contents for the channels: Markdown dialects, limits, parts, choices."""
