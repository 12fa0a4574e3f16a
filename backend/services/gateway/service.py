"""Description of the gateway for the catalog."""

from backend.chassis.service_description import Service

SERVICE = Service(
    "gateway", port=5000, worker_class="backend.services.gateway.edge.worker.EdgeWorker"
)
