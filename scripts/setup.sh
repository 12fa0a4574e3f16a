#!/usr/bin/env bash
# Install the packages of the services. `venv` becomes a link to the environment `.venv`, for
# `source venv/bin/activate`. Arguments are those of ./start_microservices.sh install.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
./start_microservices.sh install "$@"
if [ -d venv ] && [ ! -L venv ]; then
  echo "venv is a folder of yours and was kept. The packages are in .venv." >&2
else
  ln -sfn .venv venv
fi
