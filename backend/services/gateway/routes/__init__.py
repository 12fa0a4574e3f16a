"""HTTP as Flask sees it: forwarding, health, documentation, metrics."""
