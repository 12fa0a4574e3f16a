"""The speech process: decodes and transcribes one file, or writes one, under limits, then exits.

    python -m backend.ai.speech.process transcribe MEMORY SECONDS MODEL_FOLDER MAX_SECONDS THREADS
        LANGUAGE
    python -m backend.ai.speech.process encode MEMORY SECONDS FORMAT
    python -m backend.ai.speech.process run MEMORY SECONDS PROGRAM ARGUMENT…

MEMORY is in bytes, SECONDS limits CPU time and wall time. Recordings are untrusted and decoders
have vulnerabilities. Therefore this process holds no secrets, cannot write files, cannot exceed its
limits, and communicates only through standard input and output. Each file has a process of its
own, so that no recording can be read by the next one.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from backend.ai.speech.engines import AudioFormat, SpeechFailed
from backend.chassis.parent_death_signal import die_with_parent
from backend.chassis.process_limits import set_process_limits


def main(command: str, max_memory_bytes: str, timeout_seconds: str, *arguments: str) -> None:
    """Run *command* under the limits."""
    set_process_limits(int(max_memory_bytes), int(timeout_seconds))
    match command:
        case "transcribe":
            _write(json.dumps(_transcribe(*arguments)).encode())
        case "encode":
            _encode(*arguments)
        case "run":
            # The limits hold for the program too, also the signal at the end of the parent.
            os.execv(arguments[0], arguments)  # noqa: S606 - a fixed program, no shell


def _transcribe(folder: str, max_seconds: str, threads: str, language: str) -> dict[str, Any]:
    """Return the transcript of the recording on standard input, or the error."""
    try:
        # Imported under the limits, and after a process that only encodes is ruled out.
        from backend.ai.speech.audio_decoding import decode_audio
        from backend.ai.speech.whisper import WhisperModel

        samples = decode_audio(sys.stdin.buffer.read(), int(max_seconds))
        return asdict(WhisperModel(Path(folder), int(threads)).transcribe(samples, language))
    except SpeechFailed as error:
        return {"error": error.code, "detail": error.detail}
    except MemoryError:
        return {"error": "too_complex", "detail": "Decoding the recording needs too much memory."}


def _encode(audio_format: str) -> None:
    """Write the WAV file on standard input to standard output in *audio_format*."""
    from backend.ai.speech.audio_encoding import encode_wav

    try:
        _write(encode_wav(sys.stdin.buffer.read(), cast("AudioFormat", audio_format)))
    except (SpeechFailed, MemoryError):
        sys.exit(1)


def _write(content: bytes) -> None:
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    die_with_parent(os.getppid())
    main(*sys.argv[1:])
