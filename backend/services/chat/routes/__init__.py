"""HTTP handlers of the chat service."""
