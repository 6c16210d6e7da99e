"""The command `analyze`: analyses of runs, with tables, JSON and pictures."""
