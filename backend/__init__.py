"""The system: services on a chassis on security; see ARCHITECTURE.md."""

__version__ = "0.1.0"
