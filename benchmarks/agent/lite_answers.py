"""How often the embedded tier answers, and how often it rightly says that it found nothing.

    python benchmarks/agent/lite_answers.py XQUAD_FOLDER [EVERY]

XQUAD_FOLDER holds corpus.jsonl, queries.jsonl, qrels.tsv (BEIR layout) and answers.json. Each
question (or every EVERYth) is asked twice: over the six nearest paragraphs of all articles, and
over the six nearest of the other articles, where the right thing to say is that nothing was found.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from backend.ai.embedding import Embedder
from backend.services.agent.clients.runs import Passage
from backend.services.agent.domain.quoting import quoted

PASSAGES = 6


def main(folder: Path, every: int) -> None:
    paragraphs = _lines(folder / "corpus.jsonl")
    questions = _lines(folder / "queries.jsonl")[::every]
    accepted = json.loads((folder / "answers.json").read_text())
    titles = {each["_id"]: each["title"] for each in paragraphs}
    home = dict(line.split("\t")[:2] for line in (folder / "qrels.tsv").read_text().splitlines())

    embedder = Embedder(Path(".cache"), threads=1)
    vectors = embedder.encode([f"{each['title']}. {each['text']}" for each in paragraphs])
    answered = right = refused = 0
    begun = time.perf_counter()
    for question in questions:
        order = np.argsort(-(vectors @ embedder.encode([question["text"]])[0]))
        nearest = [paragraphs[index] for index in order]
        said = _ask(embedder, question["text"], nearest)
        answered += said is not None
        right += said is not None and _is_right(said, accepted[question["_id"]])
        own = titles[home[question["_id"]]]
        elsewhere = [each for each in nearest if each["title"] != own]
        refused += _ask(embedder, question["text"], elsewhere) is None
    took = (time.perf_counter() - begun) / (2 * len(questions))

    asked = len(questions)
    print(f"{asked} questions, {took * 1000:.0f} ms an answer")
    print(f"answered {answered / asked:.3f}, with the accepted words {right / asked:.3f}")
    print(f"refused where nothing is to be found {refused / asked:.3f}")


def _ask(embedder: Embedder, question: str, paragraphs: list[dict[str, str]]) -> str | None:
    passages = [
        Passage(each["_id"], each["title"], None, 0, len(each["text"]), each["text"])
        for each in paragraphs[:PASSAGES]
    ]
    return quoted(embedder, question, passages)


def _is_right(said: str, accepted: list[str]) -> bool:
    return any(answer.lower().rstrip(".") in said.lower() for answer in accepted)


def _lines(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
