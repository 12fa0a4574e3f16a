#!/usr/bin/env bash
# Install missing packages and run every service. ./start_microservices.sh --help lists the commands.
# Needs Python 3.11 or newer with pip; PYTHON=/path/to/python3 selects an interpreter.
set -euo pipefail

main() {
  cd "$(project_folder)"
  local python
  python=$(find_python)
  exec "$python" -m backend.operations "$@"
}

# Print the folder of this file, resolving symbolic links. Older macOS has no readlink -f.
project_folder() {
  local file=${BASH_SOURCE[0]} target
  while [ -L "$file" ]; do
    target=$(readlink "$file")
    case $target in
      /*) file=$target ;;
      *) file=$(dirname "$file")/$target ;;
    esac
  done
  cd -P "$(dirname "$file")" && pwd
}

find_python() {
  local candidate found=""
  for candidate in ${PYTHON:+"$PYTHON"} .venv/bin/python python3 python3.13 python3.12 python3.11 python3.14 python; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
    found=${found:-$("$candidate" --version 2>&1 | grep '^Python' || true)}
  done
  echo "Python 3.11 or newer is required, but ${found:-no Python} was found. Install it, or set its path: PYTHON=/path/to/python3.11 $0" >&2
  exit 1
}

main "$@"
