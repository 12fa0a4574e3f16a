"""Import Chroma without the packages that it imports but that embedded Chroma never uses."""

import sys
from types import ModuleType
from typing import Final

_TRACE_EXPORTER: Final = "opentelemetry.exporter.otlp.proto.grpc.trace_exporter"
_HTTPX_COMMAND_LINE: Final = "httpx._main"


def skip_unused_imports() -> None:
    """Let later imports of Chroma skip gRPC and rich, together 15 MB of memory.

    Chroma imports gRPC for the exporter of its traces, which are disabled, and httpx imports rich
    for its command line, which it can do without. Call this before Chroma is imported, and only in
    a process that uses neither.
    """
    exporter = ModuleType(_TRACE_EXPORTER)
    exporter.OTLPSpanExporter = None  # type: ignore[attr-defined]
    sys.modules.setdefault(_TRACE_EXPORTER, exporter)
    # The import system raises ImportError for a module that is None, which httpx expects.
    sys.modules.setdefault(_HTTPX_COMMAND_LINE, None)  # type: ignore[arg-type]
