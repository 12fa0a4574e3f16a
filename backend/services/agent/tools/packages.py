"""Tools that find, show, investigate and predict packages through the packages service."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Final, Literal

from pydantic import Field

from backend.security import Permission
from backend.services.agent.clients.packages_client import (
    FoundPackage,
    FoundPackages,
    InvestigationKind,
    InvestigationSentence,
    PackageEvent,
    PackagesClient,
)
from backend.services.agent.clients.tool_arguments import PydanticArguments, StrictArguments
from backend.services.agent.model import Tool, ToolContext, ToolResult

FIND_PACKAGES: Final = "find_packages"
GET_PACKAGE: Final = "get_package"
INVESTIGATE_PACKAGE: Final = "investigate_package"
PREDICT_PACKAGE: Final = "predict_package"

_MAX_SHOWN: Final = 10
# The pages of packages in the console. Only the console shows relative addresses as links.
_PAGES: Final = "/console/packages"
_NO_BRACKETS: Final = str.maketrans("[]\n", "() ")
_PERMISSIONS: Final = frozenset({Permission.PACKAGES_READ})
_PackageName = Annotated[
    str,
    Field(
        min_length=4,
        max_length=128,
        description="The package's tracking number, reference or id.",
    ),
]


# The class names below are the titles of the JSON schemas, and a docstring would become the
# schema's description. Models see both.


class FindArguments(StrictArguments):
    words: Annotated[
        str, Field(max_length=200, description="Words of the package; empty for all.")
    ] = ""
    late: Annotated[bool | None, Field(description="True for late packages only.")] = None


class PackageArguments(StrictArguments):
    package: _PackageName


class InvestigateArguments(StrictArguments):
    package: _PackageName
    subject: Annotated[
        Literal["delay", "anomaly"],
        Field(description="delay: why it is late. anomaly: what is wrong with its events."),
    ] = "delay"


def create_package_tools(packages: PackagesClient) -> tuple[Tool, ...]:
    """Return the four tools. None of them has side effects."""
    return tuple(
        Tool(
            name=name,
            description=description,
            arguments=PydanticArguments(arguments),
            run=partial(run, packages),
            permissions=_PERMISSIONS,
        )
        for name, description, arguments, run in _TOOLS
    )


async def _find_packages(
    packages: PackagesClient, arguments: FindArguments, context: ToolContext
) -> ToolResult:
    found = await asyncio.to_thread(
        packages.find_packages, context.caller, words=arguments.words, late=arguments.late
    )
    if not found.items:
        return ToolResult("No package was found.")
    shown = found.items[:_MAX_SHOWN]
    lines = [_count(found), *(f"- {_describe(each)}" for each in shown)]
    return ToolResult("\n".join(lines), identifiers=[each.id for each in shown])


async def _get_package(
    packages: PackagesClient, arguments: PackageArguments, context: ToolContext
) -> ToolResult:
    found = await asyncio.to_thread(packages.get_package, context.caller, arguments.package)
    events = await asyncio.to_thread(packages.list_events, context.caller, found.id)
    lines = [_describe(found), *(f"- {_link_event(found, event)}" for event in events)]
    return ToolResult("\n".join(lines), identifiers=[found.id])


async def _investigate_package(
    packages: PackagesClient, arguments: InvestigateArguments, context: ToolContext
) -> ToolResult:
    return await _investigate(packages, arguments.package, arguments.subject, context)


async def _predict_package(
    packages: PackagesClient, arguments: PackageArguments, context: ToolContext
) -> ToolResult:
    return await _investigate(packages, arguments.package, "prediction", context)


async def _investigate(
    packages: PackagesClient, name: str, kind: InvestigationKind, context: ToolContext
) -> ToolResult:
    """Return the text of an investigation of the package *name*, with links to its events."""
    found = await asyncio.to_thread(packages.get_package, context.caller, name)
    text = await asyncio.to_thread(
        packages.investigate, context.caller, found.id, kind, context.language
    )
    events = await asyncio.to_thread(packages.list_events, context.caller, found.id)
    return ToolResult(_format_text(found, text, events), identifiers=[found.id])


# Name, description, arguments and function of each tool.
_TOOLS: Final = (
    (
        FIND_PACKAGES,
        "Find packages (shipments) by words, or the late ones.",
        FindArguments,
        _find_packages,
    ),
    (
        GET_PACKAGE,
        "Show the status and the tracking events of a package.",
        PackageArguments,
        _get_package,
    ),
    (
        INVESTIGATE_PACKAGE,
        "Explain why a package is late, or what is wrong with its events.",
        InvestigateArguments,
        _investigate_package,
    ),
    (
        PREDICT_PACKAGE,
        "Predict when a package arrives, and whether it will be late.",
        PackageArguments,
        _predict_package,
    ),
)


def _count(found: FoundPackages) -> str:
    """Return the line above a list of packages, with their number."""
    count = len(found.items)
    number = f"More than {count}" if found.has_more else str(count)
    newest = f", the newest {_MAX_SHOWN} of them" if count > _MAX_SHOWN else ""
    return f"{number} package{'' if number == '1' else 's'}{newest}:"


def _describe(package: FoundPackage) -> str:
    promised = f", promised {package.promised_at}" if package.promised_at else ""
    late = ", late" if package.late else ""
    name = f"[{package.tracking_number}]({_PAGES}/{package.id})"
    return f"{name} ({package.carrier}): {package.status}{late}{promised}"


def _link_event(package: FoundPackage, event: PackageEvent) -> str:
    """Return *event* as a Markdown link to its place on the package's page in the console."""
    # Brackets in the name of a place would end the text of the link.
    text = _describe_event(event).translate(_NO_BRACKETS)
    return f"[{text}]({_PAGES}/{package.id}?event={event.id})"


def _describe_event(event: PackageEvent) -> str:
    place = event.location or {}
    where = place.get("name") or place.get("code") or place.get("country")
    parts = [event.occurred_at, event.code, event.reason, where]
    return " ".join(str(part) for part in parts if part)


def _format_text(
    package: FoundPackage, text: Sequence[InvestigationSentence], events: Sequence[PackageEvent]
) -> str:
    """Return the sentences, each with the numbers of its events, and the list of those events.

    The numbers are in parentheses: those in brackets are markers of citations.
    """
    by_id = {event.id: event for event in events}
    numbers: dict[str, int] = {}
    lines = []
    for sentence in text:
        for event_id in sentence.event_ids:
            if event_id in by_id:
                numbers.setdefault(event_id, len(numbers) + 1)
        marks = "".join(f"({numbers[each]})" for each in sentence.event_ids if each in numbers)
        lines.append(f"{sentence.text} {marks}".strip())
    if numbers:
        lines.append("Events:")
    lines += [
        f"- ({number}) {_link_event(package, by_id[event_id])}"
        for event_id, number in numbers.items()
    ]
    return "\n".join(lines)
