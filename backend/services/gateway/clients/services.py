"""Small questions to the services themselves: are you well, what are your routes."""

import json
import time
from typing import Any

import urllib3

_TIMEOUT = urllib3.Timeout(connect=0.5, read=1.5)
_MAX_DOCUMENT = 8 * 1024 * 1024


class ServiceQuestions:
    """Asks one instance at a time; whatever goes wrong is an OSError."""

    def __init__(self) -> None:
        self._http = urllib3.PoolManager(retries=False, timeout=_TIMEOUT)

    def ask_health(self, origin: str) -> float:
        """Milliseconds until `/health` answered 200."""
        started = time.perf_counter()
        self._get(f"{origin}/health")
        return (time.perf_counter() - started) * 1000

    def ask_document(self, origin: str) -> dict[str, Any]:
        """The service's OpenAPI document."""
        try:
            document = json.loads(self._get(f"{origin}/openapi.json"))
        except ValueError as error:
            raise OSError(f"{origin}/openapi.json is no JSON") from error
        if not isinstance(document, dict):
            raise OSError(f"{origin}/openapi.json is no object")
        return document

    def _get(self, url: str) -> bytes:
        try:
            response = self._http.request("GET", url, redirect=False, preload_content=False)
            with response:
                body: bytes = response.read(_MAX_DOCUMENT)
        except urllib3.exceptions.HTTPError as error:
            raise OSError(f"{url} does not answer") from error
        if response.status != 200:
            raise OSError(f"{url} answered {response.status}")
        return body
