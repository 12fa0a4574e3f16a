"""Access log, metrics and spans of the asyncio data path."""
