"""The agent: answers a person's request, with tools, from that person's own documents.

It owns conversations and the runs that answer in them. Documents belong to the rag service,
which it asks with the caller's own token, so that nobody's agent sees more than its user may.
The gateway, OpenAI clients and the chat service call it.
"""
