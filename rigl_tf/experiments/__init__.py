"""The application: from the words of a command to runs, results and reports.

- `commands`, `count_commands`, `report_commands`: one function per command.
- `config`, `gin_files`, `allow_list`: read and check configurations.
- `experiment`, `starts`: the settings of an experiment, checked.
- `networks`, `runs`, `run_callbacks`, `counting`: build, train and count it.
- `session`, `work_directory`, `exit_codes`: one run of the command line.
- `sweep_file`, `run_queue`, `parallel_runs`: many runs.
- `results`, `report_row`, `report_formats`, `terminal`: tables of results.
"""
