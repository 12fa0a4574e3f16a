"""Delivers events to connected clients over WebSocket, SSE and Socket.IO. Port 5006.

Other services own the data and publish what happened; this service keeps a window of each topic's
publications in Valkey for clients that reconnect, and the users' notifications in its own table.
Browsers and programs connect through the gateway at `/ws`, `/sse` and `/socket.io`.
"""
