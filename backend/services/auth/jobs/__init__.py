"""Background threads of the auth service and its administration commands."""
