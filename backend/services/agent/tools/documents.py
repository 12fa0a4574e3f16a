"""Tools that search, list, read and add documents through the rag service."""

import asyncio
import re
from dataclasses import replace
from typing import Annotated, Final

from pydantic import Field

from backend.ai.prompt_framing import frame_untrusted_text
from backend.security import Permission
from backend.services.agent.clients.rag_client import RagClient
from backend.services.agent.clients.tool_arguments import PydanticArguments, StrictArguments
from backend.services.agent.model import (
    REQUEST_PLACEHOLDER,
    Chunk,
    Tool,
    ToolContext,
    ToolExample,
    ToolResult,
)

SEARCH_DOCUMENTS: Final = "search_documents"
LIST_DOCUMENTS: Final = "list_documents"
READ_DOCUMENT: Final = "read_document"
SAVE_NOTE: Final = "save_note"
MAX_QUERY_CHARACTERS: Final = 2_000
MAX_SEARCH_HITS: Final = 6

_MAX_FILENAME_WORDS: Final = 8
_DEGRADED_SEARCH: Final = (
    "Part of the search is unavailable at the moment, so passages can be missing. Tell the user."
)
_PART_HEADING: Final = re.compile(r"Part \d+ of (\d+):")
_READ_PERMISSIONS: Final = frozenset({Permission.RAG_READ})


# The class names below are the titles of the JSON schemas, and a docstring would become the
# schema's description. Models see both.


class SearchArguments(StrictArguments):
    query: Annotated[
        str,
        Field(min_length=1, max_length=MAX_QUERY_CHARACTERS, description="What to look for."),
    ]


class ListArguments(StrictArguments):
    pass


class ReadArguments(StrictArguments):
    document_id: Annotated[
        str, Field(min_length=1, max_length=128, description="The id of a listed document.")
    ]
    part: Annotated[
        int, Field(ge=1, le=1_000, strict=True, description="Which part of it, the first is 1.")
    ] = 1


class NoteArguments(StrictArguments):
    title: Annotated[str, Field(min_length=1, max_length=120)]
    text: Annotated[str, Field(min_length=1, max_length=10_000)]


def create_search_tool(rag: RagClient) -> Tool:
    """Return the tool `search_documents`."""

    async def run(arguments: SearchArguments, context: ToolContext) -> ToolResult:
        found = await asyncio.to_thread(
            rag.search_chunks,
            context.caller,
            arguments.query,
            MAX_SEARCH_HITS,
            context.collection,
        )
        result = (
            _format_chunks(found.chunks) if found.chunks else ToolResult("No passage was found.")
        )
        result = replace(result, term_weights=found.term_weights)
        if not found.is_degraded:
            return result
        return replace(result, content=f"{_DEGRADED_SEARCH}\n{result.content}")

    return Tool(
        name=SEARCH_DOCUMENTS,
        description="Find passages in the user's documents. Use it for every question of fact.",
        arguments=PydanticArguments(SearchArguments),
        run=run,
        permissions=_READ_PERMISSIONS,
        examples=(
            ToolExample(
                "what does the contract say about termination", {"query": REQUEST_PLACEHOLDER}
            ),
            ToolExample(
                "how many days of holiday do employees get", {"query": REQUEST_PLACEHOLDER}
            ),
            ToolExample("who is responsible for the project", {"query": REQUEST_PLACEHOLDER}),
            ToolExample("when was the company founded", {"query": REQUEST_PLACEHOLDER}),
            ToolExample("explain the method that the report uses", {"query": REQUEST_PLACEHOLDER}),
            ToolExample("find what the documents say about costs", {"query": REQUEST_PLACEHOLDER}),
        ),
    )


def create_list_tool(rag: RagClient) -> Tool:
    """Return the tool `list_documents`."""

    async def run(_: ListArguments, context: ToolContext) -> ToolResult:
        documents = await asyncio.to_thread(rag.list_documents, context.caller, context.collection)
        if not documents:
            return ToolResult("There are no documents yet.")
        lines = [
            f"- {document.title} ({document.filename}, {document.status}), id {document.id}"
            for document in documents
        ]
        return ToolResult(
            "Your documents:\n" + "\n".join(lines),
            identifiers=[document.id for document in documents],
        )

    return Tool(
        name=LIST_DOCUMENTS,
        description="List the user's documents with their ids.",
        arguments=PydanticArguments(ListArguments),
        run=run,
        permissions=_READ_PERMISSIONS,
        examples=(
            ToolExample("which documents do I have", {}),
            ToolExample("list my documents", {}),
            ToolExample("show me all uploaded files", {}),
            ToolExample("what files are in my library", {}),
        ),
    )


def create_read_tool(rag: RagClient) -> Tool:
    """Return the tool `read_document`."""

    async def run(arguments: ReadArguments, context: ToolContext) -> ToolResult:
        chunks, part_count = await asyncio.to_thread(
            rag.read_document_part, context.caller, arguments.document_id, arguments.part
        )
        if not chunks:
            return ToolResult("The document contains no text.")
        result = _format_chunks(chunks)
        heading = f"Part {arguments.part} of {part_count}:"
        return replace(result, content=f"{heading}\n{result.content}")

    return Tool(
        name=READ_DOCUMENT,
        description="Read one document part by part, by its id.",
        arguments=PydanticArguments(ReadArguments),
        run=run,
        identifier_arguments=frozenset({"document_id"}),
        permissions=_READ_PERMISSIONS,
    )


def parse_part_count(content: str) -> int:
    """Return how many parts the document has whose part *content* is: a result of `read_document`.

    A document without text counts as one part.
    """
    heading = _PART_HEADING.match(content)
    return int(heading[1]) if heading else 1


def create_note_tool(rag: RagClient) -> Tool:
    """Return the tool `save_note`, which uploads a Markdown document."""

    async def run(arguments: NoteArguments, context: ToolContext) -> ToolResult:
        words = re.findall(r"\w+", arguments.title)[:_MAX_FILENAME_WORDS]
        document = await asyncio.to_thread(
            rag.upload_text,
            context.caller,
            f"{'-'.join(words) or 'note'}.md",
            f"# {arguments.title}\n\n{arguments.text}\n",
            context.collection,
        )
        return ToolResult(f"Saved as {document.filename}.", identifiers=[document.id])

    return Tool(
        name=SAVE_NOTE,
        description="Save a note among the user's documents, for later. The user is asked first.",
        arguments=PydanticArguments(NoteArguments),
        run=run,
        side_effects=True,
        permissions=frozenset({Permission.RAG_WRITE}),
    )


def _format_chunks(chunks: list[Chunk]) -> ToolResult:
    """Return *chunks* framed as untrusted text for the model."""
    framed = []
    for chunk in chunks:
        attributes = {"from": chunk.filename, "page": chunk.page}
        text = f"{chunk.table_header}\n{chunk.text}".strip()
        framed.append(frame_untrusted_text("passage", text, attributes))
    return ToolResult(
        "\n".join(framed),
        chunks=chunks,
        identifiers=list(dict.fromkeys(chunk.document_id for chunk in chunks)),
    )
