#!/usr/bin/env bash
# Check the locked packages for published vulnerabilities. Run it every week:
#   deploy/audit_dependencies.sh
# It needs the advisories of https://pypi.org. Without them the audit is skipped, and the date of the
# last completed one is printed. Exit status: 0 no vulnerability or skipped, 1 vulnerabilities.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PIP_AUDIT=(uv tool run --from pip-audit==2.10.1 pip-audit)
RECORD=.cache/last-dependency-audit
export PATH="$PATH:$PWD/.venv-dev/bin"

skip() {
  echo "Skipped: $1"
  echo "Last completed audit: $(cat "$RECORD" 2>/dev/null || echo never)."
  exit 0
}

mkdir -p .cache
status=0
output=$("${PIP_AUDIT[@]}" --requirement requirements.lock --require-hashes --disable-pip --strict \
  --progress-spinner off --timeout 15 2>&1) || status=$?
case $output in
  *"Dependency not found on PyPI"*) skip "the package index in use publishes no advisories." ;;
  *"known vulnerabilit"*) ;;
  *) skip "no advisory service responds: $(tail -n 1 <<<"$output")" ;;
esac
date -u +%F >"$RECORD"
echo "$output"
exit "$status"
