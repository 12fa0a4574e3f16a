"""The access log: one JSON line for each request, written in batches."""

import json
import os
import sys
from time import gmtime, strftime

from backend.chassis.observability.json_log_format import LogFormat, format_json_line

AccessLogEntry = tuple[float, str, str, int, float, str, str, str, int, str, str, str | None]
"""(end time, method, path, status, duration in seconds, client address, request id, route, bytes
sent, user member, upstream member, reason).

A plain tuple, because one is created for every request. All values have a restricted alphabet:
paths are normalized and request ids match a pattern. The user and upstream members are JSON text.
"""


class AccessLog:
    """Writes entries to a file descriptor, by default that of standard error.

    The JSON is formatted without an encoder and in batches: formatting between two requests
    costs twice as much, because its code and data are not in the CPU cache.
    """

    def __init__(self, descriptor: int | None = None, log_format: LogFormat | None = None) -> None:
        self._descriptor = sys.stderr.fileno() if descriptor is None else descriptor
        self._has_ecs_names = log_format == "ecs"

    def write_entries(self, entries: list[AccessLogEntry]) -> None:
        second, timestamp = 0, ""
        lines = []
        for entry in entries:
            ended, method, path, status, duration, remote, request_id, route, bytes_sent, *_ = entry
            user, upstream, reason = entry[-3:]
            now = int(ended)
            if now != second:
                second, timestamp = now, strftime("%Y-%m-%dT%H:%M:%S", gmtime(now))
            reason_member = f',"reason":"{reason}"' if reason else ""
            lines.append(
                f'{{"timestamp":"{timestamp}.{int((ended - now) * 1000):03d}Z","level":"info",'
                f'"service":"gateway","logger":"access","message":"{method} {path} {status}",'
                f'"request_id":"{request_id}","method":"{method}","path":"{path}",'
                f'"status":{status},"took_ms":{duration * 1000:.2f},"remote":"{remote}",'
                f'"route":"{route}","bytes":{bytes_sent}{user}{upstream}{reason_member}}}\n'
            )
        if self._has_ecs_names:
            lines = [f"{format_json_line(json.loads(line), 'ecs')}\n" for line in lines]
        data = "".join(lines).encode("utf-8", "replace")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            # A log that cannot be written (full disk, closed pipe) must not fail requests.
            return
