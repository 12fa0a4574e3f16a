"""Client of the packages service: find, read and investigate packages for a caller."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

from pydantic import BaseModel, Field, ValidationError

from backend.chassis.http import ServiceClient, UpstreamError, UpstreamProblem, quote_path_segment
from backend.services.agent.errors import ToolFailed
from backend.services.agent.model import Caller

M = TypeVar("M", bound=BaseModel)
InvestigationKind = Literal["anomaly", "delay", "prediction"]

_PATHS: dict[InvestigationKind, str] = {
    "anomaly": "/agents/investigate/anomaly",
    "delay": "/agents/investigate/delay",
    "prediction": "/agents/predict",
}
_MAX_FOUND = 10
_MAX_EVENTS = 50
_ID_PREFIX = "pkg_"


class PackageEvent(BaseModel):
    """A tracking event."""

    id: str
    code: str
    occurred_at: str
    location: dict[str, Any] | None = None
    reason: str | None = None


class FoundPackage(BaseModel):
    """The fields of a package that the agent's tools show."""

    id: str
    tracking_number: str
    carrier: str
    status: str
    reference: str | None = None
    promised_at: str | None = None
    delivered_at: str | None = None
    late: bool = False


class InvestigationSentence(BaseModel):
    """A sentence of an investigation, and the ids of the events to which it refers."""

    text: str
    event_ids: list[str] = Field(default_factory=list)


class _PackagePage(BaseModel):
    items: list[FoundPackage]


class _EventPage(BaseModel):
    items: list[PackageEvent]


class _Investigation(BaseModel):
    text: list[InvestigationSentence]


class PackagesClient:
    """Client of the packages service.

    Each request carries the caller's headers, so the caller's permissions apply. Every failure is
    raised as ToolFailed with a message for the model.
    """

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    def find_packages(
        self, caller: Caller, *, words: str = "", late: bool | None = None, number: str = ""
    ) -> Sequence[FoundPackage]:
        """Return up to ten packages with these words, lateness or number, newest first."""
        query: dict[str, str] = {"limit": str(_MAX_FOUND)}
        if words:
            query["q"] = words
        if number:
            query["tracking_number"] = number
        if late is not None:
            query["late"] = str(late).lower()
        path = f"/packages?{urlencode(query)}"
        return _parse(_PackagePage, _request(self._service.get, path, caller.headers)).items

    def get_package(self, caller: Caller, name: str) -> FoundPackage:
        """Return the package whose id, tracking number or reference is *name*."""
        if name.startswith(_ID_PREFIX):
            path = f"/packages/{quote_path_segment(name)}"
            return _parse(FoundPackage, _request(self._service.get, path, caller.headers))
        found = self.find_packages(caller, number=name)
        if not found:
            found = [
                each
                for each in self.find_packages(caller, words=name)
                if (each.reference or "").casefold() == name.casefold()
            ]
        if not found:
            raise ToolFailed(f"There is no package {name}.")
        return found[0]

    def list_events(self, caller: Caller, package_id: str) -> Sequence[PackageEvent]:
        """Return the first events of a package, oldest first."""
        path = f"/packages/{quote_path_segment(package_id)}/events?limit={_MAX_EVENTS}"
        return _parse(_EventPage, _request(self._service.get, path, caller.headers)).items

    def investigate(
        self, caller: Caller, package_id: str, kind: InvestigationKind
    ) -> Sequence[InvestigationSentence]:
        """Return the sentences of a new investigation of a package."""
        path = f"{_PATHS[kind]}/{quote_path_segment(package_id)}"
        response = _request(self._service.post, path, {}, caller.headers)
        return _parse(_Investigation, response).text


def _request(send: Callable[..., Any], *arguments: object) -> Any:
    try:
        return send(*arguments)
    except UpstreamProblem as error:
        if error.status == HTTPStatus.NOT_FOUND:
            raise ToolFailed("There is no such package.") from error
        raise ToolFailed(
            f"The packages service rejected the request: {error.detail or error.code}"
        ) from error
    except UpstreamError as error:
        raise ToolFailed("The packages service does not respond. Try again later.") from error


def _parse(model: type[M], response: object) -> M:
    try:
        return model.model_validate(response)
    except ValidationError as error:
        raise ToolFailed("The packages service returned an invalid response.") from error
