#!/usr/bin/env bash
# Set up what the checks need in .venv-dev, then run them all; CI runs this.
# With --lint only those that run nothing, with other words those tests: ./run_tests.sh tests/chassis
# With --postgresql every test on a PostgreSQL server, or those that further words name.
set -euo pipefail

SCRATCH_KB=8000000

main() {
  cd "$(dirname "${BASH_SOURCE[0]}")"
  # Where it is set, each of the many processes of the tests compiles every package anew.
  unset PYTHONDONTWRITEBYTECODE
  ./start_microservices.sh install --tests
  make_scratch
  case ${1-} in
    # First what is held to its seconds. Most others wait for servers, so that a third process
    # keeps two processors busy; those of one file share their servers.
    "")
      lint
      run_tests -m "alone and not slow"
      run_tests -m "not alone and not slow" --numprocesses 3 --dist loadfile
      ;;
    --lint) lint ;;
    --postgresql) on_postgresql "${@:2}" ;;
    *) run_tests "$@" ;;
  esac
}

on_postgresql() {
  if (($#)); then
    run_tests --database postgresql "$@"
  else
    run_tests --database postgresql -m "alone and not slow"
    run_tests --database postgresql -m "not alone and not slow" --numprocesses 3 --dist loadfile
  fi
}

lint() {
  .venv-dev/bin/python -m ruff format --check
  .venv-dev/bin/python -m ruff check
  .venv-dev/bin/python -m mypy
  .venv-dev/bin/lint-imports
}

run_tests() {
  TMPDIR=$scratch .venv-dev/bin/python -m pytest "$@"
}

# Where tests write: in memory where there is room, since nothing of it has to outlast them, and
# waiting until a disk has it is most of what many of them would do.
make_scratch() {
  local memory=/dev/shm room
  room=$(df -k "$memory" 2>/dev/null | awk 'NR == 2 { print $4 }')
  if [ "${room:-0}" -gt "$SCRATCH_KB" ]; then
    scratch=$(mktemp -d "$memory/tests.XXXXXX")
  else
    scratch=$(mktemp -d)
  fi
  trap 'rm -rf "$scratch"' EXIT
}

main "$@"
