"""One instance of the chat service for `test_instances`: `… PORT`, until it is killed.

It reads its settings from the environment, as the service does.
"""

import sys

from werkzeug.serving import make_server

from backend.services.chat.app import create_app


def main(port: int) -> None:
    make_server("127.0.0.1", port, create_app(), threaded=True).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
