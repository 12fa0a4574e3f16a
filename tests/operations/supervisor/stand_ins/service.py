"""A service of the standard library alone, with a child process as gunicorn has workers.

python service.py PORT [well | dies | deaf]
"""

import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from backend.chassis.parent_death_signal import die_with_parent


class Probe(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = str(os.getpid()).encode()
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def main(port: int, manner: str) -> None:
    sys.stdout.write("the service speaks\n")
    sys.stdout.flush()
    if manner == "dies":
        sys.exit("settings: SOME_KEY is not set")
    if manner == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    own = os.getpid()
    with subprocess.Popen(
        [sys.executable, "-c", f"import time; time.sleep({600 + port})"],
        preexec_fn=lambda: die_with_parent(own),
    ):
        ThreadingHTTPServer(("127.0.0.1", port), Probe).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "well")
    time.sleep(1)
