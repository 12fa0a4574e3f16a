"""Serve a local model over an OpenAI-compatible API, to callers that have the derived API key.

llama.cpp's server processes two requests at a time; further requests wait.
"""

import hashlib
import hmac
import os
import signal
from pathlib import Path
from typing import Final

MAX_PARALLEL_REQUESTS: Final = 2
# The context window of one request. All requests share its memory.
CONTEXT_TOKENS: Final = 8_192
# Tokens of a prompt that are read at once. The server stops a cancelled request between two of
# these batches, so one must take less than a second.
_BATCH_TOKENS: Final = 32
# Memory for the beginnings of earlier prompts, in MiB. A prompt that begins alike is read sooner.
_PROMPT_CACHE_MIB: Final = 256
MODEL_NAME: Final = "embedded-local"
_MAX_RESPONSE_TOKENS: Final = 2_048


def derive_api_key(secret: str) -> str:
    """Return the server's API key, which both sides derive from SECRET_KEY."""
    return hmac.new(secret.encode(), b"local-model", hashlib.sha256).hexdigest()


def run_server(file: Path, host: str, port: int, secret: str) -> None:
    """Serve the model in *file* until the process is terminated."""
    # Busy-waiting threads made all requests four times slower under load. The library reads the
    # variable when it is imported, hence the late import. The server does not survive a fork.
    os.environ.update(OMP_WAIT_POLICY="passive")
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.model_alias = {MODEL_NAME}
    params.hostnames, params.port = [host], port
    params.api_keys = [derive_api_key(secret)]
    params.n_parallel = MAX_PARALLEL_REQUESTS
    params.n_ctx = CONTEXT_TOKENS
    params.kv_unified = True
    params.n_batch = params.n_ubatch = _BATCH_TOKENS
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    params.n_predict = _MAX_RESPONSE_TOKENS
    params.cpuparams.n_threads = len(os.sched_getaffinity(0))
    params.ui = False
    server = xllamacpp.Server(params)
    signal.pause()
    del server
