"""Description of the realtime service for the catalog."""

from backend.chassis.service_description import Service

SERVICE = Service(
    "realtime",
    port=5006,
    api_description=(
        "The realtime service delivers events to clients over WebSocket, server-sent events and "
        "Socket.IO. The routes below get tickets for connections, and read topics, their history "
        "and presence, and the caller's notifications."
    ),
    worker_class="backend.services.realtime.edge.worker.RealtimeWorker",
)
