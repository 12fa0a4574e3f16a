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
    # First the tests that measure time.
    "")
      compile_tests &
      lint
      wait $! || true # pytest reports errors of test modules below
      mapfile -t alone < <(grep -rl --include='*.py' 'mark\.alone' tests)
      run_tests -m "alone and not slow" "${alone[@]}"
      run_tests -m "not alone and not slow" "${parallel[@]}"
      ;;
    --lint) lint ;;
    --postgresql) run_on_postgresql "${@:2}" ;;
    *) run_tests "$@" ;;
  esac
}

run_on_postgresql() {
  if (($#)); then
    run_tests --database postgresql "$@"
  else
    run_tests --database postgresql -m "alone and not slow"
    run_tests --database postgresql -m "not alone and not slow" "${parallel[@]}"
  fi
}

lint() {
  .venv-dev/bin/python -m ruff format --check
  .venv-dev/bin/python -m ruff check
  .venv-dev/bin/python -m mypy
  .venv-dev/bin/lint-imports
}

# Write the byte code of the test modules while the linters use the other CPU.
compile_tests() {
  .venv-dev/bin/python -m pytest --collect-only --quiet tests >/dev/null 2>&1
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
