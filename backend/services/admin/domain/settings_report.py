"""The settings of the installation and the limits in force, as this service's environment has them.

Other services read the same variables. In a cluster that sets different variables for its services,
the report shows those of the admin service.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# By variable, what the limit applies to.
_LIMITS = {
    "RATE_LIMIT_AUTH": "sign-ins per address",
    "RATE_LIMIT_API": "requests per user",
    "RATE_LIMIT_TENANT": "requests per tenant",
    "RATE_LIMIT_CONNECT": "new connections per address",
    "RATE_LIMIT_CONSOLE": "files of the console per address",
    "GATEWAY_SOCKETS_PER_ADDRESS": "open WebSockets per address",
    "LOGIN_ATTEMPTS": "failed sign-ins per account and network",
    "LOGINS_AT_ONCE": "concurrent password checks per process",
    "LLM_TOKENS_USER": "model tokens per user",
    "LLM_TOKENS_USER_DAY": "model tokens per user",
    "AGENT_DAILY_TOKENS_USER": "model tokens per user and day",
    "AGENT_DAILY_TOKENS_TENANT": "model tokens per tenant and day",
    "AGENT_RUN_TOKENS": "model tokens per answer",
    "AGENT_RUN_SECONDS": "seconds per answer",
    "AGENT_MODEL_CALLS": "model calls per answer",
    "AGENT_TOOL_CALLS": "tool calls per answer",
    "RAG_MAX_UPLOAD_BYTES": "bytes per uploaded file",
    "RAG_MAX_TEXT_CHARACTERS": "characters per document",
    "RAG_MAX_WAITING": "documents that wait for processing",
    "RAG_EXTRACTION_SECONDS": "seconds to read a document",
    "RAG_OCR_SECONDS": "seconds to recognize the scanned pages of a document",
    "REALTIME_SOCKETS_PER_USER": "open connections per user",
    "REALTIME_SOCKETS_PER_TENANT": "open connections per tenant",
}


@dataclass(frozen=True, slots=True)
class ReportedSetting:
    """A setting as it is shown: without secrets.

    Attributes:
        value: the value, or the default.
        origin: `environment`, the name of a `.env` file, or `default`.
    """

    name: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class ReportedLimit:
    """A limit: the variable that sets it, what it applies to, its value and the value's origin."""

    name: str
    scope: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class SettingsReport:
    """All documented settings."""

    settings: Sequence[ReportedSetting]

    def list_limits(self) -> Iterator[ReportedLimit]:
        """Yield the limits in the order of `_LIMITS`."""
        by_name = {setting.name: setting for setting in self.settings}
        for name, scope in _LIMITS.items():
            setting = by_name.get(name)
            if setting is not None:
                yield ReportedLimit(name, scope, setting.value, setting.origin)
