"""The agent service answers requests of users with tools, from the users' own documents.

It owns conversations and their runs. Documents belong to the rag service. The agent calls it with
the caller's own token, so a run cannot read documents that its user cannot read. Callers are the
gateway, OpenAI clients and the chat service.
"""
