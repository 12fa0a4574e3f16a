#!/usr/bin/env bash
# Start all services. Arguments are those of ./start_microservices.sh.
set -euo pipefail

exec "$(dirname "${BASH_SOURCE[0]}")/../start_microservices.sh" "$@"
