"""Background jobs and commands of the packages service."""
