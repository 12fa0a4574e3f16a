"""The writer process: rewords the sentences of an investigation with the configured model.

    python -m backend.services.packages.clients.text_writer MAX_MEMORY_BYTES TIMEOUT_SECONDS

It reads `{"sentences": [TEXT, …]}` from standard input, and writes a JSON object with `model` and
`sentences`, a mapping of the number of a sentence to its new wording. LangChain is imported only
here, so that the service itself stays small.
"""

import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, Final

from backend.ai.chat_models.factory import open_chat_model
from backend.ai.chat_models.settings import ModelSettings
from backend.chassis.parent_death_signal import die_with_parent
from backend.chassis.process_limits import set_process_limits
from backend.chassis.settings import load_env

_INSTRUCTION: Final = (
    "You reword findings about a shipment for a clerk. You get numbered sentences. Return each of "
    "them on its own line with its number, as in `1: TEXT`, in clear, friendly English. Keep every "
    "figure, time, code and name exactly as it is written. Add no facts, causes or advice."
)
_LINE: Final = re.compile(r"\s*\[?(\d{1,3})\]?\s*[:.)]\s*(\S.*)")


def run(max_memory_bytes: str, timeout_seconds: str) -> None:
    """Reword the sentences in standard input under the limits."""
    set_process_limits(int(max_memory_bytes), int(timeout_seconds))
    settings = ModelSettings.from_env(load_env())
    model = open_chat_model(settings.default, settings)
    sentences: Sequence[str] = json.load(sys.stdin)["sentences"]
    numbered = "\n".join(f"{number}: {text}" for number, text in enumerate(sentences, 1))
    reply = model.invoke([("system", _INSTRUCTION), ("human", numbered)])
    result = {"model": settings.default.id, "sentences": parse_reply(_get_text(reply.content))}
    sys.stdout.write(json.dumps(result))


def parse_reply(text: str) -> dict[str, str]:
    """Return the sentences of the lines `NUMBER: TEXT` by their numbers. The first one counts."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if match := _LINE.fullmatch(line):
            found.setdefault(match[1], match[2].strip())
    return found


def _get_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if isinstance(part, dict))


if __name__ == "__main__":
    die_with_parent(os.getppid())
    run(*sys.argv[1:])
