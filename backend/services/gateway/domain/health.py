"""How the services behind the gateway are."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from backend.services.gateway.clients.services import ServiceQuestions
from backend.services.gateway.domain.table import Table


@dataclass(frozen=True, slots=True)
class Wellbeing:
    """One service: whether an instance of it answers, and how quickly."""

    healthy: bool
    latency_ms: float | None = None


class Services:
    """The services behind *table*, each asked by its own name."""

    def __init__(self, table: Table, questions: ServiceQuestions) -> None:
        self._origins = {route.service: route.upstreams for route in table.routes}
        self._questions = questions

    @property
    def names(self) -> list[str]:
        return sorted(self._origins)

    def all(self) -> Mapping[str, Wellbeing]:
        """Every service, asked at the same time."""
        names = self.names
        with ThreadPoolExecutor(max_workers=max(1, len(names))) as pool:
            return dict(zip(names, pool.map(self.one, names), strict=True))

    def one(self, name: str) -> Wellbeing:
        for origin in self._origins[name]:
            try:
                return Wellbeing(True, round(self._questions.ask_health(origin), 2))
            except OSError:
                continue
        return Wellbeing(False)

    def check(self, name: str) -> None:
        """OSError if no instance of *name* answers."""
        if not self.one(name).healthy:
            raise OSError(f"{name} does not answer")
