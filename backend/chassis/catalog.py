"""The catalog: every service of the suite and the companion processes beside them.

Each service describes itself in `backend/services/NAME/service.py`. The start script starts what
is listed here, and the gateway forwards `/NAME/…` to the services.
"""

from importlib import import_module

from backend.chassis.service_description import Companion, Service

SERVICE_NAMES = (
    "auth",
    "agent",
    "rag",
    "admin",
    "gateway",
)

# Imported by name: the chassis must not depend on a service.
_DESCRIPTIONS = tuple(import_module(f"backend.services.{name}.service") for name in SERVICE_NAMES)

CATALOG: tuple[Service, ...] = tuple(module.SERVICE for module in _DESCRIPTIONS)
COMPANIONS: tuple[Companion, ...] = tuple(
    companion for module in _DESCRIPTIONS for companion in getattr(module, "COMPANIONS", ())
)


def get_service(name: str) -> Service:
    """Return the description of the service *name*.

    Raises:
        KeyError: the catalog has no such service; the message lists those it has.
    """
    for service in CATALOG:
        if service.name == name:
            return service
    raise KeyError(f"No service is called {name!r}; the catalog lists {', '.join(SERVICE_NAMES)}.")
