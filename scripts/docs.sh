#!/usr/bin/env bash
# Build the pages, the notebooks and the API reference as a web site.
#
#   scripts/docs.sh [DIRECTORY]
#
# DIRECTORY takes the virtual environment; default .venv-docs. The site goes to
# build/docs/index.html. A warning, such as one of a broken link, is an error.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${1:-.venv-docs}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --upgrade pip
PYTHONWARNINGS=ignore "$venv/bin/python" -m pip install --quiet --editable ".[docs]"

"$venv/bin/python" -m sphinx -W --keep-going -b html docs build/docs
