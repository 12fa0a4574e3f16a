"""Processes in which a model writes the text of an investigation (`clients/text_writer.py`).

They run under limits of time and memory.
"""

import json
import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Final, Protocol

_log = logging.getLogger(__name__)
_MODULE: Final = "backend.services.packages.clients.text_writer"
_ROOT: Final = Path(__file__).resolve().parents[4]
_MAX_MEMORY_BYTES: Final = 1024**3
_MAX_CHARACTERS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Wording:
    """The sentences that a model reworded, by their number from 1."""

    model: str
    sentences: Mapping[int, str]


class TextWriter(Protocol):
    """Rewords sentences with a language model."""

    def reword(self, sentences: Sequence[str]) -> Wording | None:
        """Return the new wording, or None if the model does not respond."""
        ...


class ProcessTextWriter:
    """Starts a process for each text.

    Args:
        timeout_seconds: for the start of the process and the response of the model.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds

    def reword(self, sentences: Sequence[str]) -> Wording | None:
        limits = [str(_MAX_MEMORY_BYTES), str(ceil(self._timeout_seconds))]
        command = [sys.executable, "-m", _MODULE, *limits]
        try:
            result = subprocess.run(  # noqa: S603 - our own interpreter and module
                command,
                input=json.dumps({"sentences": list(sentences)}).encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=_ROOT,
                timeout=self._timeout_seconds,
                check=True,
            )
            content = json.loads(result.stdout[:_MAX_CHARACTERS])
            texts = {int(number): text for number, text in content["sentences"].items()}
            return Wording(content["model"], texts)
        except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
            _log.warning("the model wrote no text: %s", type(error).__name__)
            return None
