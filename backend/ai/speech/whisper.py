"""Transcription with a Whisper model in CTranslate2's format.

The steps are those of Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak
Supervision": windows of 30 s, detection of the language in the first one, decoding without
timestamps. A window ends at the quietest place of its last five seconds instead of at a timestamp,
so that no word is cut.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import ctranslate2
import numpy as np

from backend.ai.speech.engines import Transcript, TranscriptSegment
from backend.ai.speech.languages import LANGUAGES
from backend.ai.speech.spectrogram import (
    SAMPLE_RATE,
    WINDOW_SAMPLES,
    Samples,
    compute_spectrogram,
)

# A beam of 2 costs up to 7 % more CPU time than greedy decoding; a beam of 5 costs 65 % more.
_BEAM: Final = 2
_FALLBACK_BEAM: Final = 5
_MAX_TOKENS: Final = 224
_LIMIT_MARGIN: Final = 8
_CUT_SAMPLES: Final = 5 * SAMPLE_RATE
_QUIET_SAMPLES: Final = SAMPLE_RATE // 10
_MIN_SAMPLES: Final = SAMPLE_RATE // 10
# Below this amplitude there is no speech, and the model invents some.
_SILENT_AMPLITUDE: Final = 1e-3
# The model invents texts for noise, tones and clicks: their scores were -0.7 to -4.3 with a
# probability of no speech above 0.4, those of spoken sentences above -0.4.
_NO_SPEECH_PROBABILITY: Final = 0.4
_MIN_NOISY_SCORE: Final = -0.7
_MIN_SCORE: Final = -1.5
# Of the reference implementation, for texts that repeat themselves.
_MAX_COMPRESSION: Final = 2.4


class WhisperModel:
    """A loaded model. Loading takes 0.5 s and 300 MB.

    Args:
        folder: the files of `model_files.py`.
        threads: threads that one window uses.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        self._model = ctranslate2.models.Whisper(
            str(folder), device="cpu", compute_type="int8", intra_threads=threads
        )
        self._tokens: list[str] = json.loads((folder / "vocabulary.json").read_bytes())
        self._ids = {token: number for number, token in enumerate(self._tokens)}
        self._first_special = self._ids["<|endoftext|>"]

    def transcribe(self, samples: Samples, language: str) -> Transcript:
        """Return the text of a recording.

        Args:
            samples: mono at 16 kHz between -1 and 1.
            language: one of LANGUAGES, or "" to detect it in the first window with sound.
        """
        segments = []
        for start, end in split_windows(samples):
            window = samples[start:end]
            if np.abs(window).max() < _SILENT_AMPLITUDE:
                continue
            features = ctranslate2.StorageView.from_array(compute_spectrogram(window)[None])
            encoded = self._model.encode(features)
            language = language or self._detect_language(encoded)
            text = self._decode(encoded, language)
            if text:
                segments.append(TranscriptSegment(start / SAMPLE_RATE, end / SAMPLE_RATE, text))
        return Transcript(
            " ".join(segment.text for segment in segments),
            language,
            round(len(samples) / SAMPLE_RATE, 2),
            segments,
        )

    def _detect_language(self, encoded: Any) -> str:
        token, _ = self._model.detect_language(encoded)[0][0]
        language = token.strip("<|>")
        return language if language in LANGUAGES else "en"

    def _decode(self, encoded: Any, language: str) -> str:
        """Return the text of a window, or "" without speech."""
        prompt = [
            self._ids[token]
            for token in (
                "<|startoftranscript|>",
                f"<|{language}|>",
                "<|transcribe|>",
                "<|notimestamps|>",
            )
        ]
        text, score, no_speech, count = self._generate(encoded, prompt, _BEAM, 0)
        # Recordings contain repetitions too, but not up to the limit.
        if count >= _MAX_TOKENS - _LIMIT_MARGIN and _is_repetitive(text):
            text, score, no_speech, _ = self._generate(encoded, prompt, _FALLBACK_BEAM, 3)
        min_score = _MIN_NOISY_SCORE if no_speech > _NO_SPEECH_PROBABILITY else _MIN_SCORE
        has_words = any(character.isalnum() for character in text)
        return text if has_words and score >= min_score else ""

    def _generate(
        self, encoded: Any, prompt: Sequence[int], beam: int, max_repeated_words: int
    ) -> tuple[str, float, float, int]:
        """Return the text, the mean of its log-probabilities, P(no speech), the token count."""
        result = self._model.generate(
            encoded,
            [prompt],
            beam_size=beam,
            max_length=_MAX_TOKENS,
            no_repeat_ngram_size=max_repeated_words,
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        ids = result.sequences_ids[0]
        return self._to_text(ids), result.scores[0], result.no_speech_prob, len(ids)

    def _to_text(self, ids: Sequence[int]) -> str:
        characters = "".join(self._tokens[number] for number in ids if number < self._first_special)
        table = _byte_values()
        content = bytes(table[character] for character in characters if character in table)
        return content.decode("utf-8", "replace").strip()


def split_windows(samples: Samples) -> Iterator[tuple[int, int]]:
    """Yield the first and the last sample of windows of at most 30 s that cover *samples*."""
    start = 0
    while len(samples) - start > WINDOW_SAMPLES:
        end = _find_quiet_place(samples, start + WINDOW_SAMPLES)
        yield start, end
        start = end
    if len(samples) - start >= _MIN_SAMPLES:
        yield start, len(samples)


def _find_quiet_place(samples: Samples, end: int) -> int:
    """Return the middle of the quietest tenth of a second in the five seconds before *end*."""
    part = samples[end - _CUT_SAMPLES : end]
    energies = (part**2).reshape(-1, _QUIET_SAMPLES).sum(axis=1)
    quietest = int(energies.argmin())
    return end - _CUT_SAMPLES + quietest * _QUIET_SAMPLES + _QUIET_SAMPLES // 2


def _is_repetitive(text: str) -> bool:
    content = text.encode()
    return len(content) > len(zlib.compress(content)) * _MAX_COMPRESSION


@cache
def _byte_values() -> dict[str, int]:
    """Return the byte that each character of the vocabulary stands for (GPT-2's byte-level BPE)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [value for value in range(256) if value not in printable]
    return {chr(value): value for value in printable} | {
        chr(256 + number): value for number, value in enumerate(others)
    }
