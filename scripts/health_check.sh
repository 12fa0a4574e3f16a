#!/usr/bin/env bash
# Print the state of each program. The exit code is 0 if all are ready.
set -euo pipefail

exec "$(dirname "${BASH_SOURCE[0]}")/../start_microservices.sh" status "$@"
