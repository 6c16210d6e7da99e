#!/usr/bin/env bash
# Set up a virtual environment with the test extra and run tests.
#
#   scripts/test.sh [--all] [--tensorflow=VERSION] [DIRECTORY] [ARGUMENTS OF PYTEST]
#
# Without --all, runs the default tier: neither the slow tests nor those that
# start processes. With --all, runs the three tiers one after the other and fails
# unless each of the collected tests was in one of them. VERSION such as 2.20
# tests with that TensorFlow instead of the newest. DIRECTORY takes the virtual
# environment; default .venv-test, or .venv-test-VERSION. Tests that read MNIST
# need TFDS_DATA_DIR; without it they are skipped, unless CI=true.
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

if [ -z "$all" ]; then
  pytest --numprocesses=2 "${@:2}"
  exit
fi

reports=$(mktemp -d)
trap 'rm -r "$reports"' EXIT
failed= summary= total=0
n_collected=$(pytest --collect-only -q -m "" "${@:2}" | grep -c "::" || true)

run_tier() {  # NAME, EXPRESSION OF MARKERS, ARGUMENTS OF PYTEST
  local began=$SECONDS
  pytest --numprocesses=2 --junitxml="$reports/$1.xml" -m "$2" "${@:3}" ||
    [ $? -eq 5 ] || failed="$failed $1"  # 5: no test of this tier was chosen
  local n_run
  n_run=$(grep -o "<testcase " "$reports/$1.xml" | wc -l || true)
  total=$((total + n_run))
  summary+="$1: $n_run tests in $((SECONDS - began)) s"$'\n'
}

run_tier default "not slow and not process" "${@:2}"
run_tier slow "slow and not process" "${@:2}"
run_tier process process "${@:2}"

"$venv/bin/python" tests/support/seconds.py "$reports"/{default,slow,process}.xml ||
  true  # a tier that could not be collected has no report
printf '%s%s\n' "$summary" "all: $total tests of $n_collected in $SECONDS s"
if [ "$total" != "$n_collected" ]; then
  echo "Each test must be in one tier: $total ran, $n_collected were collected."
  exit 1
fi
if [ -n "$failed" ]; then
  echo "Failed:$failed"
  exit 1
fi
