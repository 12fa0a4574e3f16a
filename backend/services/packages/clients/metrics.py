"""Prometheus metrics of packages. Label values come from fixed sets."""

from collections.abc import Container

from prometheus_client import CollectorRegistry, Counter


class PackageMetrics:
    """Metrics of one process. Without a *registry* they are recorded but not exported."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._events = Counter(
            "packages_events", "Tracking events that were added.", registry=registry
        )
        self._unknown_codes = Counter(
            "packages_unknown_codes",
            "Reported events whose code no table has. They are stored as notes.",
            ("carrier",),
            registry=registry,
        )
        self._webhooks = Counter(
            "packages_webhooks",
            "Webhooks of tracking providers, by result.",
            ("source", "result"),
            registry=registry,
        )

    def count_events(self, number: int) -> None:
        self._events.inc(number)

    def count_unknown_code(self, carrier: str, known_carriers: Container[str]) -> None:
        """Count an unknown code of *carrier*, which clients choose."""
        self._unknown_codes.labels(carrier if carrier in known_carriers else "other").inc()

    def count_webhook(self, source: str, result: str) -> None:
        """Count a webhook; *result* is `done`, `failed`, `repeated` or `rejected`."""
        self._webhooks.labels(source, result).inc()
