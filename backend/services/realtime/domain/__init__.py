"""Topics, subscriptions and delivery; no HTTP, WebSocket or database code."""
