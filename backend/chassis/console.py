"""What is said to the person at the terminal."""

import contextlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from backend.chassis.observability.json_log_format import append_log_line


class CannotRun(Exception):
    """The one sentence that tells a person what is wrong and what to do about it."""


_kept: Path | None = None


def keep(log: Path) -> None:
    """Note in *log* too what is said from now on."""
    global _kept
    _kept = log


def say(text: str = "") -> None:
    """Write a line at once. A reader who went away or a full disk stops nothing."""
    if _kept is not None and text.strip():
        append_log_line(_kept, "supervisor", text.strip())
    with contextlib.suppress(OSError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    cells = [[str(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(f"  {line.rstrip()}" for line in lines)


def first_answer(gateway_url: str) -> str:
    """Lines to paste: register, upload a document, ask about it. Fit to be pasted twice."""
    return _FIRST_ANSWER.replace("{gateway}", gateway_url)


_FIRST_ANSWER = r"""
  GATEWAY={gateway}
  JSON='Content-Type: application/json'
  TOKEN=$(curl -s $GATEWAY/auth/register -H "$JSON" \
    -d '{"username": "guest'$(date +%s)'", "password": "testpass123"}' |
    sed 's/.*"access_token": *"\([^"]*\)".*/\1/')
  echo 'The warranty of the X-200 pump lasts 37 months.' |
    curl -s -w '\n' "$GATEWAY/rag/documents?wait=30" -H "Authorization: Bearer $TOKEN" \
      -F 'file=@-;filename=pump.txt;type=text/plain'
  curl -s -w '\n' $GATEWAY/agent/query -H "Authorization: Bearer $TOKEN" -H "$JSON" \
    -d '{"user_request": "How long is the warranty of the X-200 pump?"}'
""".strip("\n")
