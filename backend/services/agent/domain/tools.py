"""What the agent can do; each tool runs with the caller's rights and checks its arguments."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

from backend.security import Permission
from backend.services.agent.clients.arguments import Shape
from backend.services.agent.clients.framing import framed
from backend.services.agent.clients.library import Library
from backend.services.agent.clients.runs import (
    REQUEST,
    Example,
    Outcome,
    Passage,
    Setting,
    Tool,
)
from backend.services.agent.clients.web import Web
from backend.services.agent.domain import lite
from backend.services.agent.domain.arithmetic import LONGEST, work_out
from backend.services.agent.domain.places import time_zone
from backend.services.agent.errors import NotArithmetic, ToolFailed

PASSAGES: Final = 6

_READ: Final = frozenset({Permission.RAG_READ})


class _Arguments(BaseModel):
    """A model may not slip in what its tool does not name."""

    model_config = ConfigDict(extra="forbid")


class SearchArguments(_Arguments):
    query: Annotated[
        str, Field(min_length=1, max_length=lite.LONGEST_QUERY, description="What to look for.")
    ]


class ListArguments(_Arguments):
    pass


class ReadArguments(_Arguments):
    document_id: Annotated[
        str, Field(min_length=1, max_length=128, description="The id of a listed document.")
    ]
    part: Annotated[
        int, Field(ge=1, le=1_000, strict=True, description="Which part of it, the first is 1.")
    ] = 1


class NoteArguments(_Arguments):
    title: Annotated[str, Field(min_length=1, max_length=120)]
    text: Annotated[str, Field(min_length=1, max_length=10_000)]


class SumArguments(_Arguments):
    expression: Annotated[
        str,
        Field(min_length=1, max_length=LONGEST, description="For example (3 + 4) * 2 or sqrt(2)."),
    ]


class TimeArguments(_Arguments):
    timezone: Annotated[
        str, Field(max_length=64, description="An IANA name such as Europe/Berlin.")
    ] = "UTC"


class FetchArguments(_Arguments):
    url: Annotated[
        str,
        Field(min_length=1, max_length=2_048, description="An address that the user has named."),
    ]


def tools(library: Library, now: Callable[[], datetime], web: Web | None) -> tuple[Tool, ...]:
    """The suite's own tools, over *library*, the clock *now* and, where it is open, the *web*."""
    fetching = () if web is None else (_fetch(web),)
    return (
        _search(library),
        _list(library),
        _read(library),
        _save_note(library),
        _calculate(),
        _tell_time(now),
        *fetching,
    )


def _search(library: Library) -> Tool:
    async def run(arguments: SearchArguments, setting: Setting) -> Outcome:
        passages = await asyncio.to_thread(
            library.search, setting.caller, arguments.query, PASSAGES, setting.collection
        )
        return _shown(passages) if passages else Outcome("No passage was found.")

    return Tool(
        name=lite.SEARCH,
        description="Find passages in the user's documents. Use it for every question of fact.",
        arguments=Shape(SearchArguments),
        run=run,
        permissions=_READ,
        examples=(
            Example("what does the contract say about termination", {"query": REQUEST}),
            Example("how many days of holiday do employees get", {"query": REQUEST}),
            Example("who is responsible for the project", {"query": REQUEST}),
            Example("when was the company founded", {"query": REQUEST}),
            Example("explain the method that the report uses", {"query": REQUEST}),
            Example("find what the documents say about costs", {"query": REQUEST}),
        ),
    )


def _list(library: Library) -> Tool:
    async def run(_: ListArguments, setting: Setting) -> Outcome:
        found = await asyncio.to_thread(library.documents, setting.caller, setting.collection)
        if not found:
            return Outcome("There are no documents yet.")
        lines = [f"- {each.title} ({each.filename}, {each.status}), id {each.id}" for each in found]
        return Outcome(
            "Your documents:\n" + "\n".join(lines), identifiers=[each.id for each in found]
        )

    return Tool(
        name="list_documents",
        description="List the user's documents with their ids.",
        arguments=Shape(ListArguments),
        run=run,
        permissions=_READ,
        examples=(
            Example("which documents do I have", {}),
            Example("list my documents", {}),
            Example("show me all uploaded files", {}),
            Example("what files are in my library", {}),
        ),
    )


def _read(library: Library) -> Tool:
    async def run(arguments: ReadArguments, setting: Setting) -> Outcome:
        passages, parts = await asyncio.to_thread(
            library.read, setting.caller, arguments.document_id, arguments.part
        )
        if not passages:
            return Outcome("The document holds no text.")
        shown = _shown(passages)
        return replace(shown, content=f"Part {arguments.part} of {parts}:\n{shown.content}")

    return Tool(
        name="read_document",
        description="Read one document part by part, by its id.",
        arguments=Shape(ReadArguments),
        run=run,
        identifiers=frozenset({"document_id"}),
        permissions=_READ,
    )


def _save_note(library: Library) -> Tool:
    async def run(arguments: NoteArguments, setting: Setting) -> Outcome:
        words = re.findall(r"\w+", arguments.title)[:8]
        document = await asyncio.to_thread(
            library.keep,
            setting.caller,
            f"{'-'.join(words) or 'note'}.md",
            f"# {arguments.title}\n\n{arguments.text}\n",
            setting.collection,
        )
        return Outcome(f"Saved as {document.filename}.", identifiers=[document.id])

    return Tool(
        name="save_note",
        description="Save a note among the user's documents, for later. The user is asked first.",
        arguments=Shape(NoteArguments),
        run=run,
        side_effects=True,
        permissions=frozenset({Permission.RAG_WRITE}),
    )


def _calculate() -> Tool:
    async def run(arguments: SumArguments, _: Setting) -> Outcome:
        try:
            return Outcome(f"{arguments.expression} = {work_out(arguments.expression)}")
        except NotArithmetic as error:
            raise ToolFailed(str(error)) from error

    return Tool(
        name="calculate",
        description="Work out an arithmetic expression exactly.",
        arguments=Shape(SumArguments),
        run=run,
    )


def _tell_time(now: Callable[[], datetime]) -> Tool:
    async def run(arguments: TimeArguments, _: Setting) -> Outcome:
        zone = time_zone(arguments.timezone)
        if zone is None:
            raise ToolFailed("No such time zone; use an IANA name such as Europe/Berlin.")
        local = now().astimezone(ZoneInfo(zone))
        return Outcome(f"It is {local:%A, %d %B %Y, %H:%M} in {zone}.")

    return Tool(
        name="current_time",
        description="Tell the date and time, in UTC or another time zone.",
        arguments=Shape(TimeArguments),
        run=run,
    )


def _fetch(web: Web) -> Tool:
    async def run(arguments: FetchArguments, _: Setting) -> Outcome:
        page = await web.fetch(arguments.url)
        text = f"{page.title}\n\n{page.text}".strip() or "(no text)"
        return Outcome(framed("page", text, arguments.url), identifiers=page.links)

    return Tool(
        name=lite.FETCH,
        description="Read a page of the web, by the address that the user gave.",
        arguments=Shape(FetchArguments),
        run=run,
        # An address of the model's own making could carry away what it has read.
        identifiers=frozenset({"url"}),
    )


def _shown(passages: list[Passage]) -> Outcome:
    """Passages as a model reads them."""
    shown = []
    for passage in passages:
        page = "" if passage.page is None else f", page {passage.page}"
        shown.append(framed("passage", passage.text, passage.filename, page))
    return Outcome(
        "\n".join(shown),
        passages=passages,
        identifiers=list(dict.fromkeys(passage.document_id for passage in passages)),
    )
