"""The agent's own tools: document search, notes, arithmetic, the current time and web pages."""
