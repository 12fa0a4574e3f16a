"""Clients of the rag service, web pages, MCP servers, other services' tools and the embedder."""
