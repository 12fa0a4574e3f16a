"""The system: services on a chassis on security; see ARCHITECTURE.md.

Importing this package disables usage reports of third-party libraries. Every process imports it
before any other package, also extraction processes, whose environment is empty, and services that
gunicorn or Celery loads directly.
"""

import os

__version__ = "0.1.0"


def disable_usage_reports() -> None:
    """Set the environment variables with which libraries disable their usage reports."""
    os.environ.update(
        {
            # onnxruntime >= 1.31 otherwise sends events to its vendor and writes a device id to
            # ~/.cache/Microsoft.
            "ORT_DISABLE_TELEMETRY": "1",
            "ANONYMIZED_TELEMETRY": "False",  # chromadb
            "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub, of the extra torch
            "DO_NOT_TRACK": "1",  # consoledonottrack.com, read by several libraries
        }
    )


disable_usage_reports()
