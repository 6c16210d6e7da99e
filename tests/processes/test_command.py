"""The command as a process: start, locale, streams."""

import json
import os
import pathlib
import platform
import subprocess
import sys

import pytest

from rigl_tf.experiments import one_dnn

ROOT = str(pathlib.Path(__file__).parents[2])


SHORT = ["TRAIN_STEPS=60", "UPDATE_END_STEP=40", "LOG_INTERVAL=20"]


RIGL = ["tasks/digits_mlp", "methods/rigl", "SPARSITY=0.98", *SHORT]


def command(*words, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "rigl_tf", *words],
        capture_output=True,
        text=True,
        **kwargs,
    )


def test_the_command_answers_without_tensorflow(tmp_path):
    blocked = tmp_path / "tensorflow.py"
    blocked.write_text(
        "raise ImportError('tensorflow was imported')\n", encoding="utf-8"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for words, code in (
        (["--help"], 0),
        (["--version"], 0),
        (["train", "tasks/digit_mlp"], 2),
        (["train", *RIGL, "SPARSTY=1"], 2),
    ):
        run = command(*words, env=environment)
        assert run.returncode == code, run.stderr
        assert "tensorflow was imported" not in run.stderr
        assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    "words", [["methods"], ["methods", "rigl"], ["train", "mine.gin"]]
)
def test_text_is_read_in_any_locale(words, tmp_path):
    (tmp_path / "mine.gin").write_text("# Zürich\n", encoding="utf-8")
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    run = command(
        *words, env={**os.environ, **locale, "PYTHONPATH": ROOT}, cwd=tmp_path
    )
    assert "Traceback" not in run.stderr and "codec" not in run.stderr
    assert run.returncode == 0 or "No word sets" in run.stderr


@pytest.mark.parametrize("given, state", [(None, "on"), ("0", "off")])
def test_a_run_keeps_stderr_clean_and_names_onednn(tmp_path, given, state):
    environment = dict(os.environ)
    environment.pop(one_dnn.VARIABLE, None)
    if given is not None:
        environment[one_dnn.VARIABLE] = given
    words = [*RIGL, "TRAIN_STEPS=40", f"--workdir={tmp_path}"]
    run = command("train", *words, env=environment)
    assert run.returncode == 0
    assert run.stderr == ""
    assert "test accuracy" in run.stdout
    if platform.machine() != "x86_64":
        return  # oneDNN is for x86 CPUs
    assert f"oneDNN {state}" in run.stdout
    result = json.loads((tmp_path / "result.json").read_text("utf-8"))
    assert result["one_dnn"] == state
