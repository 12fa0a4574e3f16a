"""Tables and queries of the chat service."""
