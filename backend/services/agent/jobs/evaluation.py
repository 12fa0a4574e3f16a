"""`evaluate`: ask the questions of a file, say how far it is, print what came out."""

import sys
from collections.abc import Sequence
from pathlib import Path

from backend.services.agent.domain.comparison import listed, report
from backend.services.agent.domain.evaluation import Evaluations, Given, Variant
from backend.services.agent.domain.events import Caller
from backend.services.agent.domain.questions import Expectation

_LISTED = 50
_INTERRUPTED = 130


def evaluate(
    evaluations: Evaluations,
    file: Path,
    questions: Sequence[Expectation],
    variants: Sequence[Variant],
    caller: Caller,
) -> int:
    """Run it; an interrupt keeps, and shows, what has been answered until then."""
    outline = evaluations.begin(file.name, len(questions), variants)
    whole, done, code = len(questions) * len(variants), 0, 0
    try:
        for given in evaluations.run(outline, questions, variants, caller):
            done += 1
            _tell(done, whole, given, variants[given.variant_number])
    except KeyboardInterrupt:
        code = _INTERRUPTED
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    show(evaluations, outline.id)
    return code


def show(evaluations: Evaluations, evaluation_id: str) -> int:
    """Print an evaluation; 1 if there is none of that id."""
    found = evaluations.found(evaluation_id)
    if found is None:
        sys.stderr.write(f"There is no evaluation {evaluation_id!r}; see evaluate --list.\n")
        return 1
    sys.stdout.write(report(*found))
    return 0


def show_all(evaluations: Evaluations) -> int:
    """Print which evaluations there are."""
    sys.stdout.write(listed(evaluations.latest(_LISTED)))
    return 0


def _tell(done: int, whole: int, given: Given, variant: Variant) -> None:
    line = f"{done}/{whole}  {variant.label}  {given.took_ms} ms  {given.error or 'answered'}"
    # On a screen one line that changes, in a file one line each.
    sys.stderr.write(f"\r\x1b[K{line}" if sys.stderr.isatty() else f"{line}\n")
    sys.stderr.flush()
