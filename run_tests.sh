#!/usr/bin/env bash
# Install the development tools into .venv-dev, then run all checks and tests. CI runs this script.
#   ./run_tests.sh --lint                static checks only
#   ./run_tests.sh tests/chassis         the given tests only (any pytest arguments)
#   ./run_tests.sh --postgresql [ARGS]   all tests, or those of ARGS, on a PostgreSQL server
set -euo pipefail

SCRATCH_KB=8000000
# Most tests wait for servers, so four processes keep two CPUs busy. tests/conftest.py groups the
# tests that share servers, and puts the groups that take longest first.
parallel=(--numprocesses 4 --dist loadfile --no-loadscope-reorder)

main() {
  cd "$(dirname "${BASH_SOURCE[0]}")"
  # If this is set, each process that the tests start compiles every package again.
  unset PYTHONDONTWRITEBYTECODE
  ./start_microservices.sh install --tests
  make_scratch
  case ${1-} in
    "") run_all ;;
    --lint) check_style && check_code ;;
    --postgresql) run_on_postgresql "${@:2}" ;;
    *) run_tests "$@" ;;
  esac
}

run_all() {
  local alone status=0
  check_style
  # First the tests that measure time. They leave one CPU idle most of the time.
  compile_tests &
  mapfile -t alone < <(grep -rl --include='*.py' 'mark\.alone' tests)
  run_tests -m "alone and not slow" "${alone[@]}"
  wait $! || true # pytest reports errors of test modules below
  check_code >"$scratch/checks.log" 2>&1 &
  run_tests -m "not alone and not slow" "${parallel[@]}" || status=$?
  wait $! || status=$?
  cat "$scratch/checks.log"
  return "$status"
}

run_on_postgresql() {
  if (($#)); then
    run_tests --database postgresql "$@"
  else
    run_tests --database postgresql -m "alone and not slow"
    run_tests --database postgresql -m "not alone and not slow" "${parallel[@]}"
  fi
}

check_style() {
  .venv-dev/bin/python -m ruff format --check
  .venv-dev/bin/python -m ruff check
}

# These use the time that tests leave.
check_code() {
  nice -n 19 .venv-dev/bin/python -m mypy && nice -n 19 .venv-dev/bin/lint-imports
}

# Write the byte code of the test modules, which four processes would otherwise compile at once.
compile_tests() {
  nice -n 19 .venv-dev/bin/python -m pytest --collect-only --quiet tests >/dev/null 2>&1
}

run_tests() {
  TMPDIR=$scratch .venv-dev/bin/python -m pytest "$@"
}

# Create the temporary folder of the tests, in memory if there is enough space: the data need not
# survive, and many tests would spend most of their time waiting for the disk.
make_scratch() {
  local memory=/dev/shm free_kb
  free_kb=$(df -k "$memory" 2>/dev/null | awk 'NR == 2 { print $4 }')
  if [ "${free_kb:-0}" -gt "$SCRATCH_KB" ]; then
    scratch=$(mktemp -d "$memory/tests.XXXXXX")
  else
    scratch=$(mktemp -d)
  fi
  trap 'rm -rf "$scratch"' EXIT
}

main "$@"
