"""A service that uses only the standard library, with a child process like a gunicorn worker.

python service.py PORT [normal | exits | ignores-sigterm | hangs | logs | computes]
"""

import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from backend.chassis.parent_death_signal import die_with_parent

LOADING_SECONDS = 14.0


class HealthHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = str(os.getpid()).encode()
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def load(mode: str) -> None:
    """Take LOADING_SECONDS to start: with log lines, with CPU time, or forever with neither."""
    while mode == "hangs":
        time.sleep(1)
    end = time.monotonic() + LOADING_SECONDS
    while mode in ("logs", "computes") and time.monotonic() < end:
        if mode == "logs":
            sys.stdout.write("loading\n")
            sys.stdout.flush()
            time.sleep(0.2)


def main(port: int, mode: str) -> None:
    sys.stdout.write("service started\n")
    sys.stdout.flush()
    if mode == "exits":
        sys.exit("settings: SOME_KEY is not set")
    if mode == "ignores-sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    load(mode)
    pid = os.getpid()
    with subprocess.Popen(
        [sys.executable, "-c", f"import time; time.sleep({600 + port})"],
        preexec_fn=lambda: die_with_parent(pid),
    ):
        ThreadingHTTPServer(("127.0.0.1", port), HealthHandler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "normal")
    time.sleep(1)
