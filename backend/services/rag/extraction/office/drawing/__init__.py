"""Content that all Office formats share: text runs, equations, charts and diagrams (DrawingML)."""
