"""The asyncio data path: HTTP/1.1 on uvloop between client and service connections."""
