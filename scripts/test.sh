#!/usr/bin/env bash
# Set up a virtual environment with the test extra and run all tests.
#
#   scripts/test.sh [DIRECTORY] [ARGUMENTS OF PYTEST]
#
# DIRECTORY takes the virtual environment; default .venv-test. Tests that read
# MNIST need TFDS_DATA_DIR; without it they are skipped, unless CI=true.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${1:-.venv-test}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --upgrade pip
PYTHONWARNINGS=ignore "$venv/bin/python" -m pip install --quiet --editable ".[test]"

"$venv/bin/python" -m pytest --numprocesses=2 "${@:2}"
