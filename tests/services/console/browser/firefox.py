"""Firefox, driven over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/).

Playwright drives only its own build of Firefox, and newer commands than those of Firefox ESR.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.servers import wait_until

_STARTED = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
_COMMAND_SECONDS = 60
_WAIT_SECONDS = 60
_KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "Tab": "\ue004"}
_MAX_MESSAGE_BYTES = 64_000_000


class Firefox:
    """A tab of Firefox. `errors` are the error messages of its console."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._last_id = 0
        self.errors: list[str] = []
        self.version: str = self._send("session.new", capabilities={})["capabilities"][
            "browserVersion"
        ]
        self._send("session.subscribe", events=["log.entryAdded"])
        (tab,) = self._send("browsingContext.getTree", maxDepth=0)["contexts"]
        self._tab = tab["context"]

    def _send(self, method: str, **parameters: Any) -> Any:
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": parameters}
        self._connection.send(json.dumps(message))
        while True:
            received = json.loads(self._connection.recv(timeout=_COMMAND_SECONDS))
            if received.get("method") == "log.entryAdded":
                self._record(received["params"])
            if received.get("id") == self._last_id:
                if received["type"] == "error":
                    raise RuntimeError(f"{method}: {received['error']} {received['message']}")
                return received["result"]

    def _record(self, entry: dict[str, Any]) -> None:
        if entry["level"] == "error":
            self.errors.append(str(entry["text"]))

    def open(self, url: str) -> None:
        self._send("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    def resize(self, width: int, height: int) -> None:
        """Set the size of the page in CSS pixels."""
        viewport = {"width": width, "height": height}
        self._send("browsingContext.setViewport", context=self._tab, viewport=viewport)

    def run(self, expression: str) -> Any:
        """Evaluate *expression*, await it, and return its JSON value."""
        result = self._evaluate(f"(async () => JSON.stringify(await ({expression})))()")
        return json.loads(result["value"]) if "value" in result else None

    def _evaluate(self, expression: str) -> dict[str, Any]:
        found = self._send(
            "script.evaluate",
            expression=expression,
            target={"context": self._tab},
            awaitPromise=True,
            resultOwnership="root",
        )
        if found["type"] == "exception":
            raise RuntimeError(found["exceptionDetails"]["text"])
        result: dict[str, Any] = found["result"]
        return result

    def wait_for(self, expression: str) -> None:
        """Wait until *expression* is true."""
        wait_until(lambda: self.run(f"Boolean({expression})"), _WAIT_SECONDS)

    def click(self, selector: str) -> None:
        """Click with the mouse on the center of the first element that matches."""
        self.wait_for(f"document.querySelector({selector!r})")
        self.run(f"document.querySelector({selector!r}).scrollIntoView({{block: 'nearest'}})")
        element = self._evaluate(f"document.querySelector({selector!r})")
        move = {"type": "pointerMove", "x": 0, "y": 0}
        move["origin"] = {"type": "element", "element": {"sharedId": element["sharedId"]}}
        press = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self._perform("pointer", [move, *press])

    def press(self, *keys: str) -> None:
        """Press keys, such as "Enter" or the characters of a text, one after the other."""
        values = [_KEYS.get(key, key) for key in keys]
        presses = [{"type": kind, "value": key} for key in values for kind in ("keyDown", "keyUp")]
        self._perform("key", presses)

    def _perform(self, kind: str, actions: list[dict[str, Any]]) -> None:
        source = {"type": kind, "id": kind, "actions": actions}
        self._send("input.performActions", context=self._tab, actions=[source])

    def choose_files(self, selector: str, *files: Path) -> None:
        """Set the files of the file input that matches, once it is there."""
        self.wait_for(f"document.querySelector({selector!r})")
        element = self._evaluate(f"document.querySelector({selector!r})")
        self._send(
            "input.setFiles",
            context=self._tab,
            element={"sharedId": element["sharedId"]},
            files=[str(file) for file in files],
        )


@contextmanager
def running_firefox(executable: str, profile: Path) -> Iterator[Firefox]:
    """Run Firefox without a window and with a new *profile* for the duration of the block."""
    profile.mkdir()
    command = [executable, "--headless", "--no-remote", "--profile", str(profile)]
    log = profile / "output.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--remote-debugging-port=0"], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: _STARTED.search(log.read_text()), _WAIT_SECONDS)
        address = _STARTED.findall(log.read_text())[0]
        with connect(f"{address}/session", max_size=_MAX_MESSAGE_BYTES) as connection:
            yield Firefox(connection)
    finally:
        process.terminate()
        process.wait(timeout=30)
