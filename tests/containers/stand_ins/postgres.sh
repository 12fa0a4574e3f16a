#!/bin/sh
# What the official image does at its first start, as far as the compose files need it.
set -eu

# Print the variable, or the content of the file that the variable with the suffix _FILE names.
read_setting() {
  eval "file=\${$1_FILE:-} value=\${$1:-}"
  if [ -n "$file" ]; then cat "$file"; else printf '%s' "$value"; fi
}

if [ "$(id -u)" = 0 ]; then
  chown postgres "$PGDATA" /var/run/postgresql
  exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  umask 077
  read_setting POSTGRES_PASSWORD > /tmp/password
  # shellcheck disable=SC2086 # several options
  initdb --username="$(read_setting POSTGRES_USER)" --pwfile=/tmp/password --encoding=UTF8 ${POSTGRES_INITDB_ARGS:-}
  rm /tmp/password
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  echo "CREATE DATABASE \"$(read_setting POSTGRES_DB)\"" | postgres --single -D "$PGDATA" postgres
fi
exec "$@" -c 'listen_addresses=*'
