#!/bin/sh
# Write the names and passwords of PostgreSQL, the password of Grafana and the key of Chroma to the
# volume `passwords`, unless they exist. A DATABASE_URL (or POSTGRESQL_URI) with the host `postgres`
# sets user, password and database of PostgreSQL; POSTGRES_PASSWORD, GRAFANA_PASSWORD and
# CHROMA_API_KEY are used if they are set; otherwise values are generated.
set -eu

main() {
  # The files are world-readable: the containers that mount this volume run as different users.
  umask 022
  cd "${PASSWORDS_FOLDER:-/passwords}"
  url=${DATABASE_URL:-${POSTGRESQL_URI:-}}
  user=$(read_url username) password=$(read_url password) database=$(read_url path)
  write_once postgres-user "${user:-agent}"
  write_once postgres-database "${database:-agent}"
  write_once postgres "${password:-${POSTGRES_PASSWORD:-}}"
  write_once grafana "${GRAFANA_PASSWORD:-}"
  write_once chroma "${CHROMA_API_KEY:-}"
  write database-url "$(format_url)"
}

# Print a part of the URL if its host is `postgres`.
read_url() {
  [ -n "$url" ] || return 0
  python -c '
import sys
from urllib.parse import unquote, urlsplit
url = urlsplit(sys.argv[1])
if url.hostname == "postgres":
    print(unquote((getattr(url, sys.argv[2]) or "").removeprefix("/")))
' "$url" "$1"
}

format_url() {
  python -c '
from pathlib import Path
from urllib.parse import quote
names = ("postgres-user", "postgres", "postgres-database")
print("postgresql://%s:%s@postgres:5432/%s" % tuple(quote(Path(n).read_text(), safe="") for n in names))
'
}

write_once() {
  [ -s "$1" ] || write "$1" "${2:-$(generate_password)}"
}

# Write a temporary file and rename it: an interrupted script leaves no partial password.
write() {
  printf '%s' "$2" > "$1.new"
  mv "$1.new" "$1"
}

generate_password() {
  python -c 'import secrets; print(secrets.token_hex(24))'
}

main
