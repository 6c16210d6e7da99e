"""Run the command line: `python -m rigl_tf`."""

import sys

from rigl_tf import cli

sys.exit(cli.main())
