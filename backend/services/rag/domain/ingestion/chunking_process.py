"""The chunking process: splits one long text into chunks under resource limits, then exits.

    python -m backend.services.rag.domain.ingestion.chunking_process MAX_BYTES TIMEOUT_SECONDS \\
        LANGUAGE

LANGUAGE selects the tokenizer: an ISO 639-1 code, or an empty argument.

Standard input is a JSON line with the positions at which sections start, then the text in UTF-8.
Standard output is a line `START END HEADER_START HEADER_END` per chunk, with the positions of the
chunk and of its table header, and at the end a line `end`. The exit status is
OUT_OF_MEMORY if the memory limit was reached.
"""

import io
import json
import os
import sys

from backend.ai.embedding.tokenizers_by_language import TokenizersByLanguage
from backend.chassis.parent_death_signal import die_with_parent
from backend.chassis.process_limits import set_process_limits
from backend.services.rag.domain.ingestion.chunking import Section, iterate_chunks

END_LINE = "end"
OUT_OF_MEMORY = 3
"""Exit status if the memory limit was reached."""


def main() -> None:
    die_with_parent(os.getppid())
    max_memory_bytes, timeout_seconds, language = sys.argv[1:]
    set_process_limits(int(max_memory_bytes), int(timeout_seconds))
    try:
        # Line breaks are not translated: positions must stay the same.
        with io.TextIOWrapper(sys.stdin.buffer, "utf-8", newline="\n") as source:
            sections = [Section(start, "") for start in json.loads(source.readline())]
            text = source.read()
        find_token_spans = TokenizersByLanguage().get_token_span_finder(language)
        for chunk in iterate_chunks(text, find_token_spans, sections):
            header_start, header_end = chunk.table_header
            sys.stdout.write(f"{chunk.start} {chunk.end} {header_start} {header_end}\n")
        sys.stdout.write(f"{END_LINE}\n")
        sys.stdout.flush()
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)


if __name__ == "__main__":
    main()
