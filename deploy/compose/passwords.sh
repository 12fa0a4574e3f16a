#!/bin/sh
# Write the passwords of PostgreSQL and Grafana and the key of Chroma to the volume `passwords`, unless
# they exist. POSTGRES_PASSWORD, GRAFANA_PASSWORD and CHROMA_API_KEY are used if they are set; otherwise
# values are generated.
set -eu

main() {
  # The files are world-readable: the containers that mount this volume run as different users.
  umask 022
  cd /passwords
  write_once postgres "${POSTGRES_PASSWORD:-}"
  write_once grafana "${GRAFANA_PASSWORD:-}"
  write_once chroma "${CHROMA_API_KEY:-}"
  write database-url "postgresql://agent:$(cat postgres)@postgres:5432/agent"
}

write_once() {
  [ -s "$1" ] || write "$1" "${2:-$(generate_password)}"
}

# Write a temporary file and rename it: an interrupted script leaves no partial password.
write() {
  printf '%s' "$2" > "$1.new"
  mv "$1.new" "$1"
}

# Hexadecimal digits only, because the password is part of a URL.
generate_password() {
  python -c 'import secrets; print(secrets.token_hex(24))'
}

main
