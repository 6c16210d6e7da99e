"""`python -m rigl_tf` is the command line."""

import sys

from rigl_tf import cli

sys.exit(cli.main())
