"""Measure how a small language model answers: forty prompts with checks, timings and memory.

    python -m benchmarks.local_model.answers MODEL_FILE [OUTPUT [ID …]]

Starts the suite with MODEL_FILE (GGUF) as the local model, uploads the documents and sends each
prompt of prompts.json in a conversation of its own. The answer to its last turn is judged by the
checks of the prompt. Prints a row for each prompt; OUTPUT is a JSON file with the answers. IDs, or
beginnings of them, select prompts.

Seconds are upper bounds, because they contain the waits for other programs of the machine. The CPU
seconds are those of the model's server; on two cores that have nothing else to do, a prompt takes
about half as many seconds.
"""

import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import requests

from backend.ai.local_model.model_files import MODEL_FILES, get_model_dir
from backend.ai.text.languages import detect_language
from benchmarks.suite.holdings import measure_usage
from tests.servers import wait_until
from tests.suite.conftest import PASSWORD, Suite, UserClient, prepare_suite

FOLDER = Path(__file__).parent
ALMANAC = "almanac.md"
LIBRARIES = {
    "english": ("reservoir-report.md", "harbour-museum.md"),
    "report": ("reservoir-report.md",),
    "german": ("bibliothek.md",),
    # One document with the texts of all others, too long to be summarized at once.
    "almanac": (ALMANAC,),
}
ANSWER_SECONDS = 1_200
LOADING_SECONDS = 300
_TICKS = os.sysconf("SC_CLK_TCK")
_MARKER = re.compile(r"\s?\[\d+\]")
_LEAKED_PROMPT = re.compile(r"</?(?:passage|result)-|search_documents|answer_directly|<\|im_")


@dataclass
class Outcome:
    """The answer to the last turn of a prompt, and what it cost."""

    id: str
    text: str = ""
    citations: int = 0
    progress: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_token_seconds: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


def main(model_file: Path, output: Path | None, selected: Sequence[str]) -> None:
    prompts = json.loads((FOLDER / "prompts.json").read_text("utf-8"))
    prompts = [
        prompt for prompt in prompts if not selected or prompt["id"].startswith(tuple(selected))
    ]
    with tempfile.TemporaryDirectory() as folder:
        models = get_model_dir(Path(folder) / "data")
        models.mkdir(parents=True)
        (models / MODEL_FILES[0].filename).symlink_to(model_file.resolve())
        # A loaded machine must not interrupt the measurement.
        suite = prepare_suite(Path(folder), LLM_TIMEOUT_SECONDS="600", AGENT_RUN_SECONDS="1200")
        try:
            suite.start()
            wait_until(lambda: _is_loaded(suite), LOADING_SECONDS)
            outcomes = _run_prompts(suite, prompts)
            usage = measure_usage(suite)["local-model"]
        finally:
            suite.stop()
    if output is not None:
        documents = [asdict(outcome) for outcome in outcomes]
        output.write_text(json.dumps(documents, ensure_ascii=False, indent=1) + "\n", "utf-8")
    _print_totals(prompts, outcomes, usage.megabytes)


def _is_loaded(suite: Suite) -> bool:
    """Return True once the server has loaded the model. The suite is healthy before that."""
    url = f"http://127.0.0.1:{suite.environment['LOCAL_MODEL_PORT']}/health"
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False


def _run_prompts(suite: Suite, prompts: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    users: dict[str, UserClient] = {}
    print("| prompt | verdict | first token s | total s | CPU s | tokens in / out | answer |")
    print("|---|---|---|---|---|---|---|")
    outcomes = []
    for prompt in prompts:
        library = prompt["library"]
        if library not in users:
            users[library] = suite.register_user(library)
            for name in LIBRARIES[library]:
                users[library].upload(_get_document(suite, name))
        _renew_token(users[library])
        outcome = _run_prompt(suite, users[library], prompt)
        outcomes.append(outcome)
        print(_format_row(outcome), flush=True)
    return outcomes


def _get_document(suite: Suite, name: str) -> Path:
    documents = FOLDER / "documents"
    if name != ALMANAC:
        return documents / name
    file = suite.folder / name
    texts = (document.read_text("utf-8") for document in sorted(documents.glob("*.md")))
    file.write_text("\n".join(texts), "utf-8")
    return file


def _renew_token(user: UserClient) -> None:
    """Log in again: on a busy machine, access tokens expire during the prompts."""
    body = {"username": user.account["user"]["username"], "password": PASSWORD}
    response = user("POST", "/auth/login", json=body)
    response.raise_for_status()
    user.session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"


def _run_prompt(suite: Suite, user: UserClient, prompt: Mapping[str, Any]) -> Outcome:
    session_id = None
    for turn in prompt["turns"]:
        outcome = Outcome(prompt["id"])
        cpu_seconds = _read_cpu_seconds(suite)
        started_at = time.monotonic()
        body = {"user_request": turn, "stream": True}
        body |= {} if session_id is None else {"session_id": session_id}
        for name, data in _stream_events(user, body):
            match name:
                case "session":
                    session_id = data["session_id"]
                case "token" if not outcome.first_token_seconds:
                    outcome.first_token_seconds = time.monotonic() - started_at
                case "progress":
                    outcome.progress += 1
                case "done":
                    outcome.text = data["response"]
                    outcome.citations = len(data["citations"])
                    outcome.prompt_tokens = data["usage"]["prompt_tokens"]
                    outcome.completion_tokens = data["usage"]["completion_tokens"]
                case "error":
                    outcome.failures.append(f"error {data.get('code')}")
        outcome.seconds = time.monotonic() - started_at
        outcome.cpu_seconds = _read_cpu_seconds(suite) - cpu_seconds
    outcome.failures += judge_answer(prompt, outcome)
    return outcome


def _stream_events(user: UserClient, body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the name and data of each event of an answer."""
    name = ""
    url = f"{user.base}/agent/query"
    with user.session.post(url, json=body, stream=True, timeout=ANSWER_SECONDS) as response:
        response.encoding = "utf-8"
        if response.status_code != 200:
            yield "error", response.json()
            return
        for line in response.iter_lines(decode_unicode=True):
            if line.startswith("event:"):
                name = line.removeprefix("event:").strip()
            elif line.startswith("data:"):
                yield name, json.loads(line.removeprefix("data:"))


def judge_answer(prompt: Mapping[str, Any], outcome: Outcome) -> list[str]:
    """Return which checks of *prompt* the answer fails; none if it is right."""
    text = _MARKER.sub("", outcome.text).strip()
    words = len(text.split())
    lines = sum(bool(line.strip()) for line in text.splitlines())
    failures = []
    if not text:
        failures.append("no answer")
    if _LEAKED_PROMPT.search(text):
        failures.append("contains parts of the prompt")
    failures += [f"lacks {item}" for item in prompt.get("all", ()) if not _contains(text, item)]
    failures += [f"contains {item}" for item in prompt.get("none", ()) if _contains(text, item)]
    found = sum(_contains(text, item) for item in prompt.get("some", ()))
    if found < prompt.get("some_count", 0):
        failures.append(f"has {found} of {prompt['some_count']} facts")
    if "language" in prompt and (language := detect_language(text)) != prompt["language"]:
        failures.append(f"is in {language or 'no known language'}")
    if words > prompt.get("max_words", words):
        failures.append(f"has {words} words")
    if words < prompt.get("min_words", 0):
        failures.append(f"has only {words} words")
    low, high = prompt.get("lines", (0, lines))
    if not low <= lines <= high:
        failures.append(f"has {lines} lines")
    if prompt.get("cited") and not outcome.citations:
        failures.append("cites nothing")
    if prompt.get("progress") and not outcome.progress:
        failures.append("reports no progress")
    return failures


def _contains(text: str, pattern: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None


def _read_cpu_seconds(suite: Suite) -> float:
    stat = Path(f"/proc/{suite.get_pid('local-model')}/stat").read_text()
    user_ticks, system_ticks = stat.rpartition(")")[2].split()[11:13]
    return (int(user_ticks) + int(system_ticks)) / _TICKS


def _format_row(outcome: Outcome) -> str:
    verdict = "; ".join(outcome.failures) or "right"
    cells = [
        outcome.id,
        verdict,
        f"{outcome.first_token_seconds:.1f}",
        f"{outcome.seconds:.1f}",
        f"{outcome.cpu_seconds:.1f}",
        f"{outcome.prompt_tokens} / {outcome.completion_tokens}",
        " / ".join(outcome.text.splitlines()).replace("|", "\\|"),
    ]
    return f"| {' | '.join(cells)} |"


def _print_totals(
    prompts: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome], megabytes: float
) -> None:
    totals: Counter[str] = Counter(prompt["kind"] for prompt in prompts)
    right: Counter[str] = Counter(
        prompt["kind"]
        for prompt, outcome in zip(prompts, outcomes, strict=True)
        if not outcome.failures
    )
    by_kind = ", ".join(f"{kind} {right[kind]}/{totals[kind]}" for kind in totals)
    prompt_tokens = sum(outcome.prompt_tokens for outcome in outcomes)
    completion_tokens = sum(outcome.completion_tokens for outcome in outcomes)
    cpu_seconds = sum(outcome.cpu_seconds for outcome in outcomes)
    print(f"\n{right.total()} of {totals.total()} right ({by_kind})")
    print(
        f"{prompt_tokens} tokens read, {completion_tokens} written in {cpu_seconds:.0f} CPU"
        f" seconds; {megabytes:.0f} MB of memory"
    )


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        Path(sys.argv[2]) if len(sys.argv) > 2 else None,
        sys.argv[3:],
    )
