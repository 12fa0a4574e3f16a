"""Description of the admin service for the catalog."""

from backend.chassis.service_description import Service

SERVICE = Service("admin", port=5005)
