"""Everything behind `rigl_tf COMMAND`: settings, runs, results, reports."""
