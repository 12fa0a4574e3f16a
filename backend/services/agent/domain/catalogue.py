"""What there is to choose from."""

from collections.abc import Sequence
from dataclasses import dataclass

from backend.services.agent.clients.models import Models, Named
from backend.services.agent.clients.runs import Tool


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The tools and models that one agent is set up with."""

    tools: Sequence[Tool]
    all_models: Models

    @property
    def models(self) -> list[Named]:
        """The models, the default first."""
        return self.all_models.known()
