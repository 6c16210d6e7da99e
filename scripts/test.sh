#!/usr/bin/env bash
# Set up a virtual environment with the test extra and run all tests.
#
#   scripts/test.sh [--tensorflow=VERSION] [DIRECTORY] [ARGUMENTS OF PYTEST]
#
# VERSION such as 2.20 tests with that TensorFlow instead of the newest. DIRECTORY
# takes the virtual environment; default .venv-test, or .venv-test-VERSION. Tests
# that read MNIST need TFDS_DATA_DIR; without it they are skipped, unless CI=true.
set -euo pipefail
cd "$(dirname "$0")/.."

version=
if [[ "${1:-}" == --tensorflow=* ]]; then
  version=${1#*=}
  shift
fi
venv=${1:-.venv-test${version:+-$version}}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --upgrade pip
PYTHONWARNINGS=ignore "$venv/bin/python" -m pip install --quiet \
  --editable ".[test]" ${version:+"tensorflow==$version.*"}

"$venv/bin/python" -m pytest --numprocesses=2 "${@:2}"
