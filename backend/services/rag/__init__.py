"""The library: takes documents in, finds passages, and answers with citations.

It owns the documents people upload (bytes, extracted text, passages, vectors), the
collections they lie in and who may read those. People reach it through the gateway, the
agent through its search tool; both with the caller's own token, so nobody finds more by
asking the agent than by asking here.
"""
