"""The rag service: ingests documents, searches them, and answers questions with citations.

It owns the uploaded documents (files, extracted text, chunks, vectors), the collections that
contain them, and the access rights to these. Users reach it through the gateway, the agent through
its search tool. Both send the user's own token, so the agent finds only what the user can read.
"""
