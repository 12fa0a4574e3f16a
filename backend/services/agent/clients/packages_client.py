"""Client of the packages service: find, read and investigate packages for a caller."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
_MAX_FOUND = 200
_MAX_NAMED = 10
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
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class FoundPackages:
    """Packages, newest first. `has_more` is True if there are others that are not included."""

    items: Sequence[FoundPackage]
    has_more: bool = False


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
        self, caller: Caller, *, words: str = "", late: bool | None = None
    ) -> FoundPackages:
        """Return up to 200 packages with these words and lateness, newest first."""
        query = {"limit": str(_MAX_FOUND)}
        if words:
            query["q"] = words
        if late is not None:
            query["late"] = str(late).lower()
        page = self._get_page(caller, query)
        return FoundPackages(page.items, has_more=page.next_cursor is not None)

    def get_package(self, caller: Caller, name: str) -> FoundPackage:
        """Return the package whose id, tracking number or reference is *name*."""
        if name.startswith(_ID_PREFIX):
            path = f"/packages/{quote_path_segment(name)}"
            return _parse(FoundPackage, _request(self._service.get, path, caller.headers))
        query = {"limit": str(_MAX_NAMED)}
        found = self._get_page(caller, query | {"tracking_number": name}).items
        if not found:
            found = [
                each
                for each in self._get_page(caller, query | {"q": name}).items
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
        self, caller: Caller, package_id: str, kind: InvestigationKind, language: str
    ) -> Sequence[InvestigationSentence]:
        """Return the sentences of a new investigation of a package.

        They are in *language*, an ISO 639-1 code, or in English if the service does not know it.
        """
        path = f"{_PATHS[kind]}/{quote_path_segment(package_id)}"
        headers = {**caller.headers, "Accept-Language": language or "en"}
        response = _request(self._service.post, path, {}, headers)
        return _parse(_Investigation, response).text

    def _get_page(self, caller: Caller, query: Mapping[str, str]) -> _PackagePage:
        path = f"/packages?{urlencode(query)}"
        return _parse(_PackagePage, _request(self._service.get, path, caller.headers))


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
