"""Find problems of an installation: `doctor`.

The checks of all services run in one process of their own. This package checks settings, tables,
packages, servers and the host; `run_checks` in a service's `checkup.py` adds the service's own
checks.
"""
