"""Visitors of web pages: sessions, messages, and what they see of a conversation."""
