"""The asyncio side of the service: WebSocket, SSE and Socket.IO connections."""
