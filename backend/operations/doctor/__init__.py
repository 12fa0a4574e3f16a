"""Find problems of an installation: `doctor`.

Each service is checked in its own process. This package checks settings, tables, packages, servers
and the host; `run_checks` in a service's `checkup.py` adds the service's own checks.
"""
