"""The system: services on a chassis on security; see ARCHITECTURE.md."""
