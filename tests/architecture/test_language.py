"""Names and texts use the standard terms of docs/STYLE.md instead of invented ones.

Each table maps a word or phrase to the term to use. The checks read the source with `ast`; they
look at names (modules, classes, functions, tests), at the first lines of docstrings, and at texts
that a user can see (exceptions, titles, help texts, findings, log messages).
"""

import ast
import gc
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("backend", "tests", "benchmarks")

# Class names that name nothing in particular.
CLASS_NAMES = {
    "Again": "RegenerateRequest",
    "Arrival": "ForwardRequest",
    "Asked": "the request or query",
    "Asker": "RateLimitSubject",
    "Belongings": "BackupContributor",
    "Bell": "WorkerNotifier",
    "Block": "HeaderBlock",
    "Departure": "ForwardResponse",
    "Earlier": "History",
    "Fare": "RateLimitCharge",
    "Flight": "RunContext",
    "Following": "VersionedCache",
    "Found": "SearchHit",
    "Given": "the parameters or input",
    "Hurdle": "CancellationToken",
    "Kept": "the stored item",
    "Listener": "StreamSubscriber",
    "Manner": "AnswerOptions",
    "Mind": "Planner",
    "Names": "HostResolver",
    "Newcomer": "Registration",
    "NobodyAnswers": "StatsUnavailable",
    "Office": "AdminCommands",
    "Opinions": "FeedbackService",
    "Sent": "StoredEvent",
    "Standing": "SessionClaims",
    "StillAtIt": "IdempotencyConflict",
    "Succession": "FallbackChain",
    "Taker": "RequestHandler",
    "Telling": "Progress or the exporter",
    "Told": "StreamEvent or the response",
    "Toll": "ChargeSet",
    "Trail": "AuditLog",
    "Visit": "ResolvedRequestLine",
    "Wanted": "the requirement",
    "Way": "RouteUpstreams",
    "Weaver": "CitationInserter",
    "Wellbeing": "ServiceHealth",
    "Whole": "ConversationWithMessages",
    "Wishes": "StartOptions",
}

# Parts of names: `asked` is found in `asked_for`, `_asked` and `AskedNumbers`.
NAME_PARTS = {
    "asked": "request, query or polled",
    "belongings": "contributor",
    "believed": "trusted or verified",
    "believes": "trusts or verifies",
    "begun": "started",
    "bury": "mark_deleted",
    "fare": "charge",
    "fares": "charges",
    "goodbye": "logout or farewell",
    "heard": "received",
    "hears": "receives",
    "mend": "repair",
    "mended": "repaired",
    "mends": "repairs",
    "newcomer": "registration",
    "nobody": "name the actor",
    "opinions": "feedback",
    "said": "response, output or message",
    "somebody": "user or caller",
    "somebodys": "another user's",
    "stranger": "unknown or unauthenticated caller",
    "succession": "fallback_chain",
    "telling": "progress or event",
    "tellings": "stream_events",
    "told": "response, event or fields",
    "toll": "charge",
    "tolls": "rate_limit_charges",
    "trouble": "error",
    "wanted": "expected, requested or required",
    "whoever": "name the actor",
    "wishes": "options",
}

# Beginnings of test names that hide the subject.
TEST_NAME = re.compile(r"test_(what|who|whoever|whatever|whose|nobody|somebody|nothing_that)_")

# max_…, min_…: bounds are named by what they bound.
BOUND_NAME = re.compile(
    r"_*(?:most|least|longest|MOST|LEAST|LONGEST)_"
    r"(?!recent|common|restrictive|significant|specific|used|privileg|prefix|match|similar|relevant"
    r"|loaded|busy|free|first|frequent|RECENT|COMMON|PREFIX|MATCH|LOADED)",
)

# First lines that say a clause instead of what the thing is or does.
FIRST_WORD = re.compile(r"(What|Whether|Who|Whom|Whose|How|Nobody|Somebody|Whoever)\b(?!.*\?$)")

IDIOMS = {
    r"\bwhoever\b": "name the actor",
    r"\b(no|some)body\b": "user, caller, client",
    r"\bwho may\b": "which callers may",
    r"\b(is|are|was|were|be) told\b": "receives, is shown",
    r"\bcan('t| ?not) (be told|say)\b": "is unknown or unavailable",
    r"\bhears? (of|that|it)\b": "receives, is notified",
    r"\bwhat is asked\b": "the request",
    r"\b(at|in) hand\b": "current",
    r"\bunder way\b": "running, in progress",
    r"\bstands? for itself\b": "is independent",
    r"\bsuch a thing\b": "name the resource",
    r"\bno such thing\b": "not found",
    r"\bnewcomer\b": "registration, new user",
    r"\bbelongings\b": "data",
    r"\blies? still\b": "is stalled",
    r"\bmend(s|ed|ing)?\b": "fix, repair",
    r"\bas (it|they) stands?\b": "currently, unchanged",
    r"\b(go|goes|went) on (with|being|until|to)?\b": "continue, resume",
    r"\bcomes? again\b": "retry later",
    r"\b(let|lets) be\b": "skip, ignore",
    r"\b(give|gives|gave|given) back\b": "return",
    r"\bspeaks? (to|of|with)?\b": "uses, sends",
    r"\bbelieves?d?\b": "trust, verify",
    r"\bnowhere\b": "not stored, no location",
    r"\b(is|are) no (hash|host|number|rate|url|token|name|file|backup)\b": "is not a …",
    r"\banew\b": "again",
    r"\baught\b|\bnaught\b": "something, nothing",
    r"\bjust now\b": "currently",
    r"\bwhat no\b": "rewrite with a subject",
}

ANY_IDIOM = re.compile("|".join(IDIOMS), re.IGNORECASE)

# Exact names that are right where they are, with the reason.
ALLOWED_NAMES: dict[str, str] = {}
# Exact texts (first docstring line or message) that are right, with the reason.
ALLOWED_TEXTS: dict[str, str] = {"--mend": "hidden alias of --repair, kept for one release"}

TEXT_CALLS = frozenset(
    {
        *("debug", "info", "warning", "error", "exception", "critical", "log"),
        *("print", "print_line", "Finding", "add_argument", "ArgumentParser", "add_parser"),
        *("Command", "HttpError", "unauthenticated", "forbidden", "unavailable", "problem"),
    }
)


NODES = (
    *(ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.arg, ast.Name),
    *(ast.Call, ast.Raise, ast.ExceptHandler, ast.Assign, ast.AnnAssign),
)


class Occurrence(NamedTuple):
    """One place that breaks a rule: where, what, and what to use instead."""

    place: str
    text: str
    advice: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text!r} (use: {self.advice})"


@cache
def sources() -> tuple[tuple[str, tuple[ast.AST, ...]], ...]:
    """Return (path relative to the project, syntax nodes that rules read) of every Python file."""
    files = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
    own = Path(__file__)
    # Garbage collection would go through the growing number of nodes again and again, and later
    # through all of them.
    gc.disable()
    try:
        return tuple(
            (str(file.relative_to(ROOT)), tuple(read_nodes(file)))
            for file in files
            if file != own
            and "migrations" not in file.parts
            and not file.is_relative_to(ROOT / "tests" / "data")
        )
    finally:
        gc.freeze()
        gc.enable()


def read_nodes(file: Path) -> Iterator[ast.AST]:
    """Yield the syntax nodes of *file* that a rule reads, about a sixth of all."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, NODES) and not isinstance(getattr(node, "ctx", None), ast.Load):
            yield node


def name_parts(name: str) -> list[str]:
    """Split snake_case and CamelCase into lower-case words."""
    return [part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def named_definitions() -> Iterator[tuple[str, str, ast.AST | None]]:
    """Yield (place, name, node) of each module, class and function; node is None for a module."""
    for path, nodes in sources():
        yield path, Path(path).stem, None
        for node in nodes:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path}:{node.lineno}", node.name, node


@cache
def first_lines() -> list[tuple[str, str]]:
    """Return (place, first line) of each docstring."""
    lines = []
    for path, nodes in sources():
        for node in nodes:
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = ast.get_docstring(node)
                if docstring:
                    line = getattr(node, "lineno", 1)
                    lines.append((f"{path}:{line}", docstring.partition("\n")[0]))
    return lines


def visible_texts() -> Iterator[tuple[str, str]]:
    """Yield (place, text) of messages in exceptions, titles, help texts, findings and logs."""
    for path, nodes in sources():
        if not path.startswith("backend/"):
            continue
        for node in nodes:
            roots: list[ast.AST] = []
            if isinstance(node, ast.Raise) and node.exc is not None:
                roots = [node.exc]
            elif isinstance(node, ast.Call) and called_name(node) in TEXT_CALLS:
                roots = [*node.args, *(keyword.value for keyword in node.keywords)]
            elif isinstance(node, ast.Assign | ast.AnnAssign) and assigned_name(node) == "title":
                roots = [node.value] if node.value is not None else []
            elif isinstance(node, ast.Call) and called_name(node) == "__init__":
                roots = list(node.args)
            for root in roots:
                for part in ast.walk(root):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield f"{path}:{part.lineno}", part.value


def called_name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def assigned_name(node: ast.Assign | ast.AnnAssign) -> str:
    target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
    return target.id if isinstance(target, ast.Name) else ""


def report(occurrences: list[Occurrence]) -> str:
    lines = "\n".join(map(str, occurrences[:200]))
    return f"{len(occurrences)} occurrences, see docs/STYLE.md:\n{lines}"


def test_class_names_are_standard_terms():
    occurrences = [
        Occurrence(place, name, CLASS_NAMES[name.lstrip("_")])
        for place, name, node in named_definitions()
        if isinstance(node, ast.ClassDef)
        and name.lstrip("_") in CLASS_NAMES
        and name not in ALLOWED_NAMES
    ]
    assert not occurrences, report(occurrences)


def test_names_avoid_replaced_words():
    occurrences = [
        Occurrence(place, name, f"{part} → {NAME_PARTS[part]}")
        for place, name, _ in named_definitions()
        for part in name_parts(name)
        if part in NAME_PARTS and name not in ALLOWED_NAMES
    ]
    assert not occurrences, report(occurrences)


def test_test_names_state_subject_and_result():
    occurrences = [
        Occurrence(place, name, "test_<subject>_<result>_<condition>")
        for place, name, _ in named_definitions()
        if TEST_NAME.match(name) and name not in ALLOWED_NAMES
    ]
    assert not occurrences, report(occurrences)


def test_bounds_are_named_max_and_min():
    occurrences = []
    for path, nodes in sources():
        for node in nodes:
            name = node.arg if isinstance(node, ast.arg) else ""
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                name = node.id
            if BOUND_NAME.match(name) and name not in ALLOWED_NAMES:
                occurrences.append(Occurrence(f"{path}:{node.lineno}", name, "max_…, min_…"))
    assert not occurrences, report(occurrences)


def test_docstrings_begin_with_what_a_thing_is_or_does():
    occurrences = [
        Occurrence(place, line, "Return …, Check …, or a noun phrase")
        for place, line in first_lines()
        if FIRST_WORD.match(line) and line not in ALLOWED_TEXTS
    ]
    assert not occurrences, report(occurrences)


@pytest.mark.parametrize("kind", ["docstrings", "visible texts"])
def test_texts_avoid_idioms(kind):
    texts = first_lines() if kind == "docstrings" else visible_texts()
    occurrences = [
        Occurrence(place, text, advice)
        for place, text in texts
        if text not in ALLOWED_TEXTS and ANY_IDIOM.search(text)
        for pattern, advice in IDIOMS.items()
        if re.search(pattern, text, re.IGNORECASE)
    ]
    assert not occurrences, report(occurrences)
