"""The command under odd circumstances: closed streams, no home, python -O."""

import os
import pathlib
import subprocess
import sys

import pytest
import tiny

from rigl_tf import cli

ROOT = str(pathlib.Path(__file__).parents[2])


def shell(line, cwd, *flags, **variables):
    """Run a line of bash in which `$R` is the command; return the process."""
    command = " ".join([sys.executable, *flags, "-m", "rigl_tf"])
    environment = {**os.environ, "PYTHONPATH": ROOT, "R": command}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**environment, **variables},
    )


@pytest.mark.parametrize(
    "line",
    [
        "$R methods >&-",
        "$R methods 2>&-",
        "$R methods <&- >&- 2>&-",
        "$R methods | true",
        "$R methods | head -1",
        "$R methods >/dev/full",
        "$R --help >&-",
        "$R --help | true",
        "$R --help >/dev/full",
        "$R trian >&- 2>/dev/full; test $? = 2",
        "$R trian 2>&-; test $? = 2",
    ],
)
def test_closed_streams_stop_nothing(line, tmp_path):
    run = shell(line, tmp_path)
    assert run.returncode == 0
    assert run.stderr == ""


@pytest.mark.parametrize(
    "words", ["sweep sweeps/digits_mlp --jobs=2 --workdir=", "report "]
)
def test_unknown_kinds_of_urls_are_told_on_one_line(words, capfd):
    assert cli.main(f"{words}foo://x".split()) == 2
    (told,) = capfd.readouterr().err.splitlines()
    assert "A URL must be of a file system" in told


@pytest.mark.parametrize("end", [">&-", "2>&1 | head -c 1"])
def test_training_goes_on_when_nobody_reads(end, tmp_path):
    words = " ".join([*tiny.WORDS, "--workdir=w"])
    run = shell(f"$R train {words} {end}", tmp_path)
    assert run.returncode == 0
    assert run.stderr == ""
    assert (tmp_path / "w" / "result.json").exists()


def test_optimized_python_trains_too(tmp_path):
    words = " ".join([*tiny.WORDS, "--workdir=w"])
    run = shell(f"$R methods rigl && $R train {words}", tmp_path, "-OO")
    assert run.returncode == 0
    assert "Drop: " in run.stdout and "test accuracy" in run.stdout
    assert run.stderr == ""


NOBODY = """
import pwd
def getpwuid(number): raise KeyError(number)
pwd.getpwuid = getpwuid
"""


@pytest.mark.parametrize(
    "words",
    [
        "methods",
        f"count {' '.join(tiny.WORDS)}",
        "prepare mnist:9.9.9; test $? = 2",
    ],
)
def test_no_home_is_needed(words, tmp_path):
    """As in a container that runs under any user id."""
    (tmp_path / "sitecustomize.py").write_text(NOBODY, encoding="utf-8")
    run = shell(
        f"unset HOME; $R {words}", tmp_path, PYTHONPATH=f"{ROOT}:{tmp_path}"
    )
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    assert run.stderr.count("\n") <= 1
