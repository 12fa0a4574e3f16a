"""Register, upload and ask at a gateway: `python ipv6_requests.py URL`. Prints the answer.

Uses only the standard library, so that it runs in a network namespace of its own.
"""

import json
import sys
from typing import Any
from urllib.request import Request, urlopen

DOCUMENT = "The warranty of the X-200 pump lasts 37 months."
QUESTION = "How long is the warranty of the X-200 pump?"
_BOUNDARY = "boundary-of-parts"


def main(url: str) -> None:
    account = send(url, "/auth/register", {"username": "ada", "password": "testpass123"})
    token = account["access_token"]
    upload = (
        f"--{_BOUNDARY}\r\nContent-Disposition: form-data; name=file; filename=pump.txt\r\n"
        f"Content-Type: text/plain\r\n\r\n{DOCUMENT}\r\n--{_BOUNDARY}--\r\n"
    )
    send(url, "/rag/documents?wait=60", upload, token)
    sys.stdout.write(send(url, "/agent/query", {"user_request": QUESTION}, token)["response"])


def send(url: str, path: str, body: dict[str, str] | str, token: str = "") -> Any:
    is_json = isinstance(body, dict)
    headers = {
        "Content-Type": "application/json"
        if is_json
        else f"multipart/form-data; boundary={_BOUNDARY}",
        "Authorization": f"Bearer {token}",
    }
    if not token:
        del headers["Authorization"]
    data = (json.dumps(body) if is_json else str(body)).encode()
    with urlopen(Request(url + path, data, headers), timeout=90) as response:  # noqa: S310
        return json.load(response)


if __name__ == "__main__":
    main(sys.argv[1])
