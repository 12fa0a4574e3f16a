"""Description of the admin service for the catalog."""

from backend.chassis.service_description import Service

SERVICE = Service(
    "admin",
    port=5005,
    api_description="The admin service collects the statistics of all services for administrators, "
    "and forwards the administration of users and of chat to the services that own them.",
)
