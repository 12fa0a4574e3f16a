"""Split texts of documents into chunks: short ones directly, long ones in a child process."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

from backend.ai.embedding.tokenizers_by_language import TokenizersByLanguage
from backend.chassis.child_processes import CODE_ROOT, build_environment
from backend.services.rag.domain.ingestion.chunking import (
    Chunk,
    Section,
    add_section_titles,
    iterate_chunks,
)
from backend.services.rag.domain.ingestion.chunking_process import END_LINE, OUT_OF_MEMORY
from backend.services.rag.errors import ExtractionFailed

_log = logging.getLogger(__name__)
# The library would start a thread per processor, each with its own memory.
_VARIABLES = {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
# Chunking more text than this takes longer than starting a process for it.
_MAX_CHARS_IN_THIS_PROCESS = 200_000
_WRITE_CHARS = 2**20


class ChunkingFailed(Exception):
    """The chunking process could not start or has a bug: the text is not the cause."""


class Chunker:
    """Splits texts under time and memory limits, so that no text can block other documents."""

    def __init__(
        self, tokenizers: TokenizersByLanguage, *, max_memory_bytes: int, timeout_seconds: int
    ) -> None:
        """The limits apply to each long text; *timeout_seconds* to its wall and CPU time."""
        self._tokenizers = tokenizers
        self._max_memory_bytes = max_memory_bytes
        self._timeout_seconds = timeout_seconds
        self._running: dict[subprocess.Popen[str], str] = {}
        self._stopped = False

    def split(
        self, document_id: str, text: str, sections: Sequence[Section], language: str
    ) -> list[Chunk]:
        """Return the same chunks of *text* as `split_into_chunks`.

        Args:
            language: selects the tokenizer that measures chunks.

        Raises:
            ExtractionFailed: with the code `too_complex`; the text exceeds the limits.
            ChunkingFailed: the process failed for another reason.
        """
        if len(text) <= _MAX_CHARS_IN_THIS_PROCESS:
            find_token_spans = self._tokenizers.get_token_span_finder(language)
            return list(iterate_chunks(text, find_token_spans, sections))
        starts = [section.start for section in sections]
        return [
            add_section_titles(chunk, sections)
            for chunk in self._run_process(document_id, text, starts, language)
        ]

    def stop(self) -> None:
        """Kill all processes. Those that are started later are killed immediately."""
        self._stopped = True
        for process in tuple(self._running):
            process.kill()

    def cancel(self, document_id: str) -> None:
        """Kill the processes that split the text of the document."""
        for process, running_id in tuple(self._running.items()):
            if running_id == document_id:
                process.kill()

    def _run_process(
        self, document_id: str, text: str, starts: Sequence[int], language: str
    ) -> Iterator[Chunk]:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            self._command(language),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=CODE_ROOT,
            env=build_environment(_VARIABLES),
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self._running[process] = document_id
        if self._stopped:  # stopped after the document was claimed and before its process started
            process.kill()
        deadline = threading.Timer(self._timeout_seconds, process.kill)
        deadline.start()
        try:
            _send_text(process, text, starts)
            yield from self._read_chunks(process)
        finally:
            deadline.cancel()
            process.kill()
            process.communicate()
            del self._running[process]

    def _command(self, language: str) -> list[str]:
        tokenizer = language if self._tokenizers.uses_multilingual(language) else ""
        limits = [str(self._max_memory_bytes), str(self._timeout_seconds)]
        module = "backend.services.rag.domain.ingestion.chunking_process"
        return [sys.executable, "-m", module, *limits, tokenizer]

    def _read_chunks(self, process: "subprocess.Popen[str]") -> Iterator[Chunk]:
        for line in process.stdout or ():
            if line.strip() == END_LINE:
                return
            start, end, header_start, header_end = map(int, line.split())
            yield Chunk(start, end, table_header=(header_start, header_end))
        status = process.wait()
        _log.warning("chunking ended early, exit status %s", status)
        # Limits and the kernel end the process by a signal or with OUT_OF_MEMORY. Any other status
        # means that the installation is faulty.
        if status >= 0 and status != OUT_OF_MEMORY:
            raise ChunkingFailed(f"The chunking process failed with exit status {status}.")
        raise ExtractionFailed(
            "too_complex",
            "Splitting the text into chunks needed too much memory or time. Split the file, or "
            "remove long parts without sentences.",
        )


def _send_text(process: "subprocess.Popen[str]", text: str, starts: Sequence[int]) -> None:
    """Write the text in pieces, so that it is not encoded as a whole."""
    if process.stdin is not None:
        # The process reads all of its input before it writes, unless it was killed.
        with suppress(BrokenPipeError), process.stdin:
            process.stdin.write(json.dumps(starts) + "\n")
            for start in range(0, len(text), _WRITE_CHARS):
                process.stdin.write(text[start : start + _WRITE_CHARS])
        process.stdin = None
