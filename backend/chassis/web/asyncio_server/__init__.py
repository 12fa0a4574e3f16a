"""The asyncio HTTP/1.1 server under gunicorn, which the gateway and realtime share."""
