"""Serve the model as OpenAI would, to whoever knows the suite's key.

llama.cpp's server answers two at once and lets the others wait.
"""

import hashlib
import hmac
import os
import signal
from pathlib import Path
from typing import Final

AT_ONCE: Final = 2
CONTEXT_TOKENS: Final = 8_192
NAME: Final = "embedded-local"
_LONGEST_ANSWER: Final = 2_048


def key(secret: str) -> str:
    """The server's key: it follows from SECRET_KEY, so that nobody has to hand it over."""
    return hmac.new(secret.encode(), b"local-model", hashlib.sha256).hexdigest()


def serve(file: Path, host: str, port: int, secret: str) -> None:
    """Serve *file* until the process is ended."""
    # Threads that wait by spinning made everything four times slower under load. It is read
    # when the library is loaded, hence the late import; and the server does not survive a fork.
    os.environ.update(OMP_WAIT_POLICY="passive")
    import xllamacpp

    wanted = xllamacpp.CommonParams()
    wanted.model.path = str(file)
    wanted.model_alias = {NAME}
    wanted.hostnames, wanted.port = [host], port
    wanted.api_keys = [key(secret)]
    wanted.n_parallel, wanted.n_ctx = AT_ONCE, AT_ONCE * CONTEXT_TOKENS
    wanted.n_predict = _LONGEST_ANSWER
    wanted.cpuparams.n_threads = len(os.sched_getaffinity(0))
    wanted.ui = False
    server = xllamacpp.Server(wanted)
    signal.pause()
    del server
