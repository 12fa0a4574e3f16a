"""Time from upload to `ready`, text extraction of a long document, and memory during many uploads.

    python -m benchmarks.suite.uploads [CHECKOUT …]

Starts the suite in each *CHECKOUT* and in this one, one after the other, and uploads PDFs of random
words through the gateway:

- twelve of 5 pages, one after the other; the first one after the start loads the embedding model;
- one of 1,000 pages, whose progress is read every half second;
- ten of 50 pages at once by five users, while another user searches.

Memory is the proportional set size (PSS) of all processes of the suite, read every half second. The
CPU time is that of all processes of the suite.
"""

import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rag.sample_documents import build_pdf
from benchmarks.suite.holdings import measure_cpu_seconds, measure_usage
from tests.suite.conftest import ROOT, Suite, UserClient, prepare_suite

_LINES_PER_PAGE = 46
_WORDS_PER_LINE = 12
_SHORT_PAGES, _LONG_PAGES, _BOOK_PAGES = 5, 1000, 50
_SHORT_DOCUMENTS = 12
_USERS, _BOOKS_PER_USER = 5, 2
_MAX_SECONDS = 600.0
_SAMPLE_SECONDS = 0.5
_VOCABULARY = (
    "pump valve seal rotor gauge boiler pressure water manual engineer replaces checks measures "
    "every month before after the a of in with below above until three seven nominal operating "
    "temperature limit flow alarm switch motor bearing oil filter report inspection"
)


@dataclass
class PeakMemory:
    """Highest memory seen, in MB."""

    total: float = 0.0
    worker: float = 0.0


def measure(checkouts: list[Path]) -> None:
    """Print a table with a column for each checkout."""
    columns = [_measure_checkout(root) for root in checkouts]
    print("| | " + " | ".join(root.name for root in checkouts) + " |")
    print("|---|" + "---|" * len(checkouts))
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(column[name] for column in columns) + " |")


def _measure_checkout(root: Path) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as name:
        suite = prepare_suite(Path(name), root)
        try:
            suite.start()
            figures = _measure_short_documents(suite)
            figures |= _measure_long_document(suite)
            return figures | _measure_books(suite)
        finally:
            suite.stop()


def _measure_short_documents(suite: Suite) -> dict[str, str]:
    user = suite.register_user()
    seconds = []
    cpu_before_second = 0.0
    for number in range(_SHORT_DOCUMENTS):
        if number == 1:
            cpu_before_second = measure_cpu_seconds(suite)
        started = time.perf_counter()
        _upload(user, _build_document(_SHORT_PAGES, number), wait=True)
        seconds.append(time.perf_counter() - started)
    cpu = (measure_cpu_seconds(suite) - cpu_before_second) / (_SHORT_DOCUMENTS - 1)
    warm = sorted(seconds[1:])
    return {
        "5 pages, first upload, s": f"{seconds[0]:.2f}",
        "5 pages, later uploads, median / slowest, s": (
            f"{statistics.median(warm):.2f} / {warm[-1]:.2f}"
        ),
        "5 pages, later uploads, CPU s": f"{cpu:.2f}",
    }


def _measure_long_document(suite: Suite) -> dict[str, str]:
    user = suite.register_user()
    cpu_before = measure_cpu_seconds(suite)
    with _sampled_memory(suite) as memory:
        started = time.perf_counter()
        document = _upload(user, _build_document(_LONG_PAGES, 100), wait=False)
        read_cpu, progress = 0.0, set()
        while document["status"] not in ("ready", "failed"):
            time.sleep(_SAMPLE_SECONDS)
            document = user("GET", f"/rag/documents/{document['id']}").json()
            stage = document["progress"]["stage"]
            progress.add((stage, document["progress"]["done"]))
            if not read_cpu and stage not in ("queued", "extracting"):
                read_cpu = measure_cpu_seconds(suite) - cpu_before
            _check_time(started)
        seconds = time.perf_counter() - started
    cpu = measure_cpu_seconds(suite) - cpu_before
    return {
        "1,000 pages, until ready, s": f"{seconds:.0f} ({document['status']})",
        "1,000 pages, CPU s in total": f"{cpu:.0f}",
        "1,000 pages, extracted pages per CPU s": f"{_LONG_PAGES / read_cpu:.0f}",
        "1,000 pages, different progress values seen": str(len(progress)),
        "1,000 pages, most memory of the worker, MB": f"{memory.worker:.0f}",
    }


def _measure_books(suite: Suite) -> dict[str, str]:
    users = [suite.register_user() for _ in range(_USERS)]
    reader = suite.register_user()
    _upload(reader, _build_document(_SHORT_PAGES, 200), wait=True)
    contents = [_build_document(_BOOK_PAGES, 300 + number) for number in range(len(users) * 2)]
    latencies: list[float] = []
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            started = time.perf_counter()
            reply = reader("POST", "/rag/search", json={"query": "When is the pump checked?"})
            latencies.append(time.perf_counter() - started)
            if reply.status_code != 200:
                raise RuntimeError(f"search: {reply.status_code} {reply.text}")
            time.sleep(0.05)

    def upload(number: int) -> float:
        started = time.perf_counter()
        _upload(users[number % _USERS], contents[number], wait=False)
        return time.perf_counter() - started

    with _sampled_memory(suite) as memory, ThreadPoolExecutor(len(contents) + 1) as pool:
        started = time.perf_counter()
        searching = pool.submit(search)
        try:
            uploads = list(pool.map(upload, range(len(contents))))
            for user in users:
                _wait_until_ready(user, started)
        finally:
            done.set()
        seconds = time.perf_counter() - started
        searching.result()
    latencies.sort()
    return {
        "ten of 50 pages by five users, until all are ready, s": f"{seconds:.0f}",
        "ten of 50 pages, slowest upload request, s": f"{max(uploads):.2f}",
        "ten of 50 pages, searches meanwhile, median / slowest, s": (
            f"{statistics.median(latencies):.3f} / {latencies[-1]:.2f}"
        ),
        "ten of 50 pages, most memory in total, MB": f"{memory.total:.0f}",
    }


def _upload(user: UserClient, content: bytes, *, wait: bool) -> dict[str, object]:
    path = "/rag/documents?wait=60" if wait else "/rag/documents"
    reply = user("POST", path, files={"file": (f"{hash(content):x}.pdf", content)})
    if reply.status_code not in (200, 201, 202):
        raise RuntimeError(f"upload: {reply.status_code} {reply.text}")
    document: dict[str, object] = reply.json()["documents"][0]
    return document


def _wait_until_ready(user: UserClient, started: float) -> None:
    while True:
        items = user("GET", "/rag/documents").json()["items"]
        if {item["status"] for item in items} == {"ready"} and len(items) == _BOOKS_PER_USER:
            return
        _check_time(started)
        time.sleep(_SAMPLE_SECONDS)


def _check_time(started: float) -> None:
    if time.perf_counter() - started > _MAX_SECONDS:
        raise RuntimeError(f"documents are not ready after {_MAX_SECONDS:.0f} s")


def _build_document(pages: int, seed: int) -> bytes:
    generator = random.Random(seed)  # noqa: S311 - the same words in every run
    return build_pdf([list(_build_lines(generator)) for _ in range(pages)])


def _build_lines(generator: random.Random) -> Iterator[str]:
    for _ in range(_LINES_PER_PAGE):
        words = generator.choices(_VOCABULARY.split(), k=_WORDS_PER_LINE)
        yield " ".join(words).capitalize() + "."


@contextmanager
def _sampled_memory(suite: Suite) -> Iterator[PeakMemory]:
    """Record the highest memory of the suite during the block."""
    peak, done = PeakMemory(), threading.Event()

    def sample() -> None:
        while not done.wait(_SAMPLE_SECONDS):
            usage = measure_usage(suite)
            peak.total = max(peak.total, sum(item.megabytes for item in usage.values()))
            if "rag-worker" in usage:
                peak.worker = max(peak.worker, usage["rag-worker"].megabytes)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    measure([*(Path(text).resolve() for text in sys.argv[1:]), ROOT])
