"""HTTP handlers of the console service."""
