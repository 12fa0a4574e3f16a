"""Read the health and the OpenAPI document of services."""

import json
import time
from typing import Any

import urllib3

_TIMEOUT = urllib3.Timeout(connect=0.5, read=1.5)
_MAX_DOCUMENT_BYTES = 8 * 1024 * 1024


class ServiceProbe:
    """Sends requests to single instances. Every failure is raised as OSError."""

    def __init__(self) -> None:
        self._http = urllib3.PoolManager(retries=False, timeout=_TIMEOUT)

    def measure_health_latency_ms(self, origin: str) -> float:
        """Return the milliseconds until `/health` of *origin* responded with 200."""
        started = time.perf_counter()
        self._get(f"{origin}/health")
        return (time.perf_counter() - started) * 1000

    def fetch_openapi_document(self, origin: str) -> dict[str, Any]:
        """Return the OpenAPI document of *origin*."""
        try:
            document = json.loads(self._get(f"{origin}/openapi.json"))
        except ValueError as error:
            raise OSError(f"{origin}/openapi.json is not JSON") from error
        if not isinstance(document, dict):
            raise OSError(f"{origin}/openapi.json is not a JSON object")
        return document

    def _get(self, url: str) -> bytes:
        try:
            response = self._http.request("GET", url, redirect=False, preload_content=False)
            with response:
                body: bytes = response.read(_MAX_DOCUMENT_BYTES)
        except urllib3.exceptions.HTTPError as error:
            raise OSError(f"{url} does not respond") from error
        if response.status != 200:
            raise OSError(f"{url} responded with status {response.status}")
        return body
