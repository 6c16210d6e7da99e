#!/usr/bin/env bash
# Set up a virtual environment with the test extra and run tests.
#
#   scripts/test.sh [--all] [--tensorflow=VERSION] [DIRECTORY] [ARGUMENTS OF PYTEST]
#
# Without --all, runs the default tier: neither the slow tests nor those that
# start processes. With --all, runs all three tiers, prints the seconds of each,
# and fails unless every selected test ran. VERSION such as 2.20 tests with that
# TensorFlow instead of the newest. DIRECTORY takes the virtual environment;
# default .venv-test, or .venv-test-VERSION. Tests that read MNIST need
# TFDS_DATA_DIR; without it they are skipped, unless CI=true.
set -euo pipefail
cd "$(dirname "$0")/.."

all= version=
while [[ "${1:-}" == --* ]]; do
  case $1 in
    --all) all=yes ;;
    --tensorflow=*) version=${1#*=} ;;
    *) break ;;
  esac
  shift
done
venv=${1:-.venv-test${version:+-$version}}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --upgrade pip
PYTHONWARNINGS=ignore "$venv/bin/python" -m pip install --quiet \
  --editable ".[test]" ${version:+"tensorflow==$version.*"}

pytest() {
  "$venv/bin/python" -m pytest "$@"
}

workers=(--numprocesses=2 --dist=worksteal)
if [ -z "$all" ]; then
  pytest "${workers[@]}" "${@:2}"
  echo "The default tier took $SECONDS s."
  exit
fi

report=$(mktemp)
trap 'rm "$report"' EXIT
status=0
pytest "${workers[@]}" --junitxml="$report" -m "" "${@:2}" || status=$?
"$venv/bin/python" tests/support/seconds.py "$report" || status=$?
echo "All tiers took $SECONDS s."
exit "$status"
