#!/bin/sh
# What the official image does at its first start, as far as docker-compose.yml asks for it.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # The words are meant to fall apart.
  # shellcheck disable=SC2086
  initdb --username="$(cat "$POSTGRES_USER_FILE")" --pwfile="$POSTGRES_PASSWORD_FILE" --encoding=UTF8 $POSTGRES_INITDB_ARGS
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  echo "CREATE DATABASE \"$(cat "$POSTGRES_DB_FILE")\"" | postgres --single -D "$PGDATA" postgres
fi
exec "$@" -c 'listen_addresses=*'
