"""What there is to choose from."""

from backend.services.agent.clients.models import Models, Named
from backend.services.agent.clients.runner import Runner
from backend.services.agent.clients.runs import Caller, Tool


class Catalogue:
    """The tools and models that one agent is set up with."""

    def __init__(self, runner: Runner, models: Models) -> None:
        self._runner = runner
        self._models = models

    def tools(self, caller: Caller) -> list[Tool]:
        """The tools that *caller* may use."""
        return self._runner.tools(caller)

    @property
    def models(self) -> list[Named]:
        """The models, the default first."""
        return self._models.known()
