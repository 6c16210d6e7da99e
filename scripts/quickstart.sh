#!/usr/bin/env bash
# Set up a virtual environment and train a 98 % sparse network three ways.
#
#   scripts/quickstart.sh [DIRECTORY]
#
# DIRECTORY takes the virtual environment; default .venv
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${1:-.venv}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --upgrade pip
PYTHONWARNINGS=ignore "$venv/bin/python" -m pip install --quiet --editable ".[plots]"

"$venv/bin/rigl_tf" sweep sweeps/digits_mlp --workdir=runs/quickstart
echo
"$venv/bin/rigl_tf" report runs/quickstart
echo
for run in runs/quickstart/digits_mlp-rigl-*; do
  "$venv/bin/rigl_tf" connectivity --workdir="$run"
done
