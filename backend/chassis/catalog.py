"""The catalog: every service of the suite, and the companion processes of the services.

Each service describes itself in `backend/services/NAME/service.py`. The start script starts the
services listed here, and the gateway forwards `/NAME/…` to them.
"""

from importlib import import_module
from pathlib import Path

from backend.chassis.service_description import Companion, Service

SERVICE_NAMES = (
    "auth",
    "agent",
    "rag",
    "chat",
    "admin",
    "realtime",
    "packages",
    "console",
    "gateway",
)

_SERVICES = Path(__file__).resolve().parents[1] / "services"
# Imported by name: the chassis must not depend on a service.
_DESCRIPTIONS = tuple(import_module(f"backend.services.{name}.service") for name in SERVICE_NAMES)

CATALOG: tuple[Service, ...] = tuple(module.SERVICE for module in _DESCRIPTIONS)
COMPANIONS: tuple[Companion, ...] = tuple(
    companion for module in _DESCRIPTIONS for companion in getattr(module, "COMPANIONS", ())
)


def find_unlisted_services(folder: Path = _SERVICES) -> list[str]:
    """Return the names of packages in *folder* that look like services and are not listed here."""
    return sorted(
        path.parent.name
        for path in folder.glob("*/app.py")
        if path.parent.name not in SERVICE_NAMES
    )


def get_service(name: str) -> Service:
    """Return the description of the service *name*.

    Raises:
        KeyError: the catalog has no such service. The message lists those it has.
    """
    for service in CATALOG:
        if service.name == name:
            return service
    raise KeyError(f"Unknown service {name!r}. The catalog has {', '.join(SERVICE_NAMES)}.")
