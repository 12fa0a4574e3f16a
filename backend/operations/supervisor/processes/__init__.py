"""Start, identify, probe and stop single processes, for the supervisor and the bundled Valkey."""
