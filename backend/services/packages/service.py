"""Description of the packages service for the catalog."""

from backend.chassis.service_description import Service

SERVICE = Service(
    "packages",
    port=5007,
    api_description="The packages service stores shipments and their tracking events, predicts "
    "their arrival and investigates delays. It receives events from programs, files and the "
    "webhooks of tracking providers.",
    threads=32,
    own_path="/packages",
    api_paths=(("/api/v1/agents", "/agents"),),
)
