#!/bin/sh
# Make the passwords that nobody has set, once, where the containers that need them look.
# POSTGRES_PASSWORD and GRAFANA_PASSWORD, where they are set, are written down instead.
set -eu

main() {
  # Whoever mounts this folder may read it: each container runs as another user.
  umask 022
  cd /passwords
  keep postgres "${POSTGRES_PASSWORD:-}"
  keep grafana "${GRAFANA_PASSWORD:-}"
  write database-url "postgresql://agent:$(cat postgres)@postgres:5432/agent"
}

keep() {
  [ -s "$1" ] || write "$1" "${2:-$(make_one)}"
}

# Aside and into place: never half a password, however this ends.
write() {
  printf '%s' "$2" > "$1.new"
  mv "$1.new" "$1"
}

# Letters and digits alone: it stands in a URL.
make_one() {
  python -c 'import secrets; print(secrets.token_hex(24))'
}

main
