"""Some cases of the fuzz script; and that the script can fail."""

import fuzz
import pytest

from rigl_tf import cli
from rigl_tf import run_files


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return fuzz.Runs(tmp_path_factory.mktemp("runs"))


@pytest.mark.slow
def test_damaged_files_end_in_a_line_and_change_nothing(runs, capfd):
    counts = fuzz.drive(runs.case, 15, seed=5)
    assert "bad" not in counts, capfd.readouterr().out
    assert counts[0] > 2 and counts[2] > 2, counts


@pytest.mark.parametrize(
    "command, message",
    [
        (lambda words: 1, "exit code 1"),
        (lambda words: print("rigl_tf: a\nb", file=fuzz.sys.stderr), "2 lines"),
        (lambda words: 1 / 0, "ZeroDivisionError"),
        (lambda words: fuzz.signal.raise_signal(14) or 0, "_TooLong"),
    ],
)
def test_every_other_end_is_a_problem(command, message, monkeypatch):
    monkeypatch.setattr(cli, "main", command)
    _, found = fuzz.problems(fuzz.Case("", []))
    assert message in "\n".join(found)


def test_a_changed_file_is_a_problem(runs, monkeypatch):
    """Let every command delete a file of the neighbor."""
    case = runs.case(fuzz.random.Random(0))

    def delete(words):
        (runs.root / "case/neighbor" / run_files.RESULT).unlink()
        return 0

    monkeypatch.setattr(cli, "main", delete)
    _, found = fuzz.problems(case)
    assert "changed: neighbor/result.json" in found
